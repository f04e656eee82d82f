"""The networks of the rows in PyTorch's own layers: STDiT as models/stdit.hpp has it, and the decoder of models/taef2.hpp."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint


def attend(q, k, v, heads):
    part = lambda x: x.unflatten(-1, (heads, -1)).transpose(-3, -2)
    return F.scaled_dot_product_attention(part(q), part(k), part(v)).transpose(-3, -2).flatten(-2)


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        return self.proj(attend(*self.qkv(x).chunk(3, -1), self.heads))


class CrossAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.q, self.kv, self.proj = heads, nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, x, text):
        return self.proj(attend(self.q(x), *self.kv(text).chunk(2, -1), self.heads))


class Mlp(nn.Module):
    def __init__(self, width_in, width, width_out):
        super().__init__()
        self.enter, self.leave = nn.Linear(width_in, width), nn.Linear(width, width_out)

    def forward(self, x):
        return self.leave(F.gelu(self.enter(x), approximate="tanh"))


def norm_modulate(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(6, width) / width**0.5)
        self.spatial, self.temporal, self.cross = SelfAttention(width, heads), SelfAttention(width, heads), CrossAttention(width, heads)
        self.mlp = Mlp(width, 4 * width, width)

    def forward(self, x, text, t, frame_pos):                                   # x [B,T,S,D], text [B,L,D], t [B,6,D]
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (self.modulation + t)[:, :, None, None].unbind(1)
        x = x + gate_a * self.spatial(norm_modulate(x, shift_a, scale_a))
        h = x if frame_pos is None else x + frame_pos
        x = x + gate_a * self.temporal(h.transpose(1, 2)).transpose(1, 2)
        x = x + self.cross(x.flatten(1, 2), text).view_as(x)
        return x + gate_m * self.mlp(norm_modulate(x, shift_m, scale_m))


class Stdit(nn.Module):
    """hidden, depth, heads and caption are the words of a row's shape."""

    def __init__(self, hidden, depth, heads, caption, channels=4, frames=16, side=32, checkpointed=False):
        super().__init__()
        width, self.checkpointed = hidden, checkpointed
        self.patch = nn.Conv3d(channels, width, (1, 2, 2), (1, 2, 2))
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.to_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.caption = Mlp(caption, width, width)
        self.register_buffer("grid_pos", torch.randn(1, 1, (side // 2) ** 2, width))
        self.register_buffer("frame_pos", torch.randn(1, frames, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.head_modulation = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.head = nn.Linear(width, 4 * channels)

    def forward(self, x, t, caption):                                           # [B,C,T,H,W], [B], [B,1,L,W]
        B, C, T, H, W = x.shape
        h = self.patch(x).flatten(3).permute(0, 2, 3, 1) + self.grid_pos
        frequencies = torch.exp(torch.arange(128) * (-9.210340371976184 / 128))
        angles = t[:, None] * frequencies
        t_emb = self.time(torch.cat([angles.cos(), angles.sin()], 1).to(x.dtype))
        modulation, text = self.to_modulation(t_emb).unflatten(-1, (6, -1)), self.caption(caption[:, 0])
        for i, block in enumerate(self.blocks):
            args = h, text, modulation, self.frame_pos if i == 0 else None
            h = checkpoint(block, *args, use_reentrant=False) if self.checkpointed else block(*args)
        shift, scale = (self.head_modulation + t_emb[:, None])[:, :, None, None].unbind(1)
        y = self.head(norm_modulate(h, shift, scale))                           # [B,T,S,(q r c)]
        return y.view(B, T, H // 2, W // 2, 2, 2, C).permute(0, 6, 1, 2, 4, 3, 5).reshape(B, C, T, H, W).float()


# --- TAEF2's decoder as models/taef2.hpp has it ---------------------------------------------------------------------------------------

class Taef2Block(nn.Module):
    def __init__(self, context):
        super().__init__()
        conv = lambda: nn.Conv2d(64, 64, 3, padding=1)
        self.convs = nn.Sequential(conv(), nn.ReLU(), conv(), nn.ReLU(), conv())
        self.context = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.GroupNorm(4, 256), nn.ReLU(), nn.Conv2d(256, 64, 1, bias=False)) if context else None

    def forward(self, x):
        if self.context is not None:
            x = x + self.context(x)
        return F.relu(self.convs(x) + x)


class Bounded(nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


def taef2_decoder():
    levels = [layer for level in range(3) for layer in (*(Taef2Block(level == 0) for _ in range(3)), nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1, bias=False))]
    return nn.Sequential(Bounded(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), *levels, Taef2Block(False), nn.Conv2d(64, 3, 3, padding=1))
