#!/usr/bin/env python3
"""framegrad's rows beside PyTorch's, in one run on one machine.

    pip install torch            # a plain CPU build is enough
    cmake --build build --target framegrad_bench
    python3 bench/against_torch.py [--device cuda] [--json FILE] [--bench build/framegrad_bench] [--only WORDS] [--threads N]

For each row the two take turns, `--rounds` times; each turn runs the row for about `--seconds`, and its result is the median of its runs. A
row's time is the median of its turns. ratio is PyTorch's time over ours: above 1, framegrad is faster. best is that ratio of the fastest
runs, which is what counts on a machine that others use. share is ours of the machine's peak, which framegrad_bench measures as it starts. The training step's memory is the highest resident size of a process of its
own, less what it had before the model was made.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
# Below these ratios a row is marked. What has no floor is not held to one.
FLOORS = {
    ("linear", "f32"): 0.8, ("linear", "bf16"): 0.7, ("matmul", "f32"): 0.8, ("matmul", "bf16"): 0.7,
    "layer_norm": 1.0, "layer_norm_modulate": 1.0, "group_norm_silu": 1.0, "gelu_tanh": 1.0, "softmax": 1.0, "adamw": 1.0,
    "attention spatial": 0.8, "attention full": 0.8, "attention temporal": 0.8, "attention cross": 0.8, "stdit training step": 0.8,
}


# --- PyTorch's side of the rows: name -> function(shape text, dtype) -> (inputs, function of them) ---------------------------------

def sizes(text):
    return [int(n) for n in text.replace("->", "x").split("x")]


def linear(shape, dtype):
    m, k, n = sizes(shape)
    return [torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype) * 0.02, torch.randn(n, dtype=dtype)], F.linear


def matmul(shape, dtype):
    a, b = (sizes(s) for s in shape.split())
    return [torch.randn(*a, dtype=dtype), torch.randn(*b, dtype=dtype) * 0.02], torch.matmul


def layer_norm(shape, dtype):
    n, c = sizes(shape)
    return [torch.randn(n, c, dtype=dtype), torch.randn(c, dtype=dtype), torch.randn(c, dtype=dtype)], lambda x, w, b: F.layer_norm(x, (c,), w, b)


def layer_norm_modulate(shape, dtype):
    b, n, c = sizes(shape)
    inputs = [torch.randn(b, n, c, dtype=dtype), torch.randn(b, 1, c, dtype=dtype), torch.randn(b, 1, c, dtype=dtype)]
    return inputs, lambda x, shift, scale: F.layer_norm(x, (c,), eps=1e-6) * (1 + scale) + shift


def gated_residual(shape, dtype):
    b, n, c = sizes(shape)
    return [torch.randn(b, n, c, dtype=dtype), torch.randn(b, 1, c, dtype=dtype), torch.randn(b, n, c, dtype=dtype)], lambda x, gate, h: x + gate * h


def group_norm_silu(shape, dtype):
    s = sizes(shape)
    return [torch.randn(*s, dtype=dtype), torch.randn(s[1], dtype=dtype), torch.randn(s[1], dtype=dtype)], lambda x, w, b: F.silu(F.group_norm(x, 32, w, b))


def gelu_tanh(shape, dtype):
    return [torch.randn(*sizes(shape), dtype=dtype)], lambda x: F.gelu(x, approximate="tanh")


def softmax(shape, dtype):
    return [torch.randn(*sizes(shape), dtype=dtype)], lambda x: F.softmax(x, -1)


def attention(shape, dtype):
    shape, _, keys = shape.partition(" keys ")
    b, h, n, d = sizes(shape)
    m = int(keys) if keys else n

    def run(q, k, v):
        part = lambda x: x.view(b, -1, h, d).transpose(1, 2)
        return F.scaled_dot_product_attention(part(q), part(k), part(v)).transpose(1, 2).reshape(b, n, h * d)

    return [torch.randn(b, n, h * d, dtype=dtype), torch.randn(b, m, h * d, dtype=dtype), torch.randn(b, m, h * d, dtype=dtype)], run


def conv3d(shape, dtype):
    n, c, t, h, w, o = sizes(shape)
    inputs = [torch.randn(n, c, t, h, w, dtype=dtype), torch.randn(o, c, 3, 3, 3, dtype=dtype) * 0.02, torch.randn(o, dtype=dtype)]
    return inputs, lambda x, weight, bias: F.conv3d(x, weight, bias, padding=1)


OPS = {"linear": linear, "matmul": matmul, "layer_norm": layer_norm, "layer_norm_modulate": layer_norm_modulate, "gated_residual": gated_residual,
       "group_norm_silu": group_norm_silu, "gelu_tanh": gelu_tanh, "softmax": softmax, "conv3d": conv3d,
       "attention spatial": attention, "attention full": attention, "attention temporal": attention, "attention cross": attention}


# --- STDiT as models/stdit.hpp has it, in PyTorch's own layers -----------------------------------------------------------------------

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
    def __init__(self, width=384, depth=6, heads=6, channels=4, frames=16, side=32, caption_width=512):
        super().__init__()
        self.patch = nn.Conv3d(channels, width, (1, 2, 2), (1, 2, 2))
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.to_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.caption = Mlp(caption_width, width, width)
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
            h = block(h, text, modulation, self.frame_pos if i == 0 else None)
        shift, scale = (self.head_modulation + t_emb[:, None])[:, :, None, None].unbind(1)
        y = self.head(norm_modulate(h, shift, scale))                           # [B,T,S,(q r c)]
        return y.view(B, T, H // 2, W // 2, 2, 2, C).permute(0, 6, 1, 2, 4, 3, 5).reshape(B, C, T, H, W).float()


def adamw(params):
    return torch.optim.AdamW(params, lr=1e-4, weight_decay=0.01, fused=True)


def stdit_step(dtype):
    model = Stdit().to(dtype)
    optimizer = adamw(model.parameters())
    x, target, caption = torch.randn(2, 4, 16, 32, 32, dtype=dtype), torch.randn(2, 4, 16, 32, 32), torch.randn(2, 1, 120, 512, dtype=dtype)
    t = torch.full((2,), 500.0)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(model(x, t, caption), target).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def adamw_step():
    params = [nn.Parameter(torch.full((1152, 1152), 0.01)) for _ in range(30)]
    for p in params:
        p.grad = torch.randn_like(p)
    return adamw(params).step


def torch_row(name, dtype, shape):
    """What runs the row once."""
    dtype = DTYPES[dtype]
    if name == "stdit training step":
        return stdit_step(dtype)
    if name == "adamw":
        return adamw_step()
    op, back = name.removesuffix(" and gradient"), name.endswith(" and gradient")
    inputs, f = OPS[op](shape, dtype)
    if not back:
        def forward():
            with torch.no_grad():
                f(*inputs)
        return forward
    inputs = [x.requires_grad_() for x in inputs]
    with torch.no_grad():
        dy = f(*inputs).clone()
    return lambda: torch.autograd.grad(f(*inputs), inputs, dy)


# --- the run ----------------------------------------------------------------------------------------------------------------------------

class Ours:
    def __init__(self, program, threads, device="cpu"):
        self.process = subprocess.Popen([program, "--device", device, "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "FRAMEGRAD_THREADS": str(threads)})

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"framegrad_bench ended at \"{line}\"")
        return answer

    def high_water(self):
        return high_water(self.process.pid)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def high_water(pid="self"):
    """The most memory that a process had resident so far, in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def wait():
    """Ops on a GPU are queued: a time is one of their end."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()


def timed(run, seconds):
    times, begin = [], time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        wait()
        at = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - at)
    return statistics.median(times), min(times)


def floor_of(name, dtype):
    op = name.removesuffix(" and gradient")
    return FLOORS.get((op, dtype), FLOORS.get(op))


def step_memory(program, threads, index, row):
    """Bytes that two training steps add to a process: (ours, PyTorch's)."""
    ours = Ours(program, threads)
    ours.ask("peaks")
    before = ours.high_water()
    ours.ask(f"open {index}")
    used = ours.high_water() - before
    ours.end()
    theirs = subprocess.run([sys.executable, __file__, "--memory-of", row["dtype"], "--threads", str(threads)], capture_output=True, text=True, check=True)
    return used, int(theirs.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the results: a list of {name, dtype, shape, ours_ms, torch_ms, ratio, share_of_peak, ratio_of_best}")
    parser.add_argument("--bench", default="build/framegrad_bench", help="the program framegrad_bench")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", default="", help="rows whose name, dtype or shape holds these words")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each; the training step has three at most")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    torch.manual_seed(0)

    if args.memory_of:  # a process of its own: what two steps take
        before = high_water()
        step = stdit_step(DTYPES[args.memory_of])
        step(), step()
        print(high_water() - before)
        return

    ours = Ours(args.bench, args.threads, args.device)
    peaks, rows = json.loads(ours.ask("peaks")), json.loads(ours.ask("rows"))
    print(f"framegrad on path {peaks['path']}, PyTorch {torch.__version__}, {args.threads} threads each, in turns")
    print(f"at best {peaks['fma'] / 1e9:.0f} GFLOP/s by FMA, {peaks['bf16'] / 1e9:.0f} in bf16; copying {peaks['copy_16MB'] / 1e9:.1f} GB/s within 16 MB, {peaks['copy_256MB'] / 1e9:.1f} within 256 MB\n")
    print(f"{'row':34} {'dtype':5} {'shape':38} {'ours ms':>9} {'torch ms':>9} {'ratio':>6} {'share':>6} {'best':>6}")
    results = []
    for index, row in enumerate(rows):
        if not all(word in f"{row['name']} {row['dtype']} {row['shape']}" for word in args.only.split()):
            continue
        gpu_memory = [float(ours.ask(f"open {index}")), 0]
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        run = torch_row(row["name"], row["dtype"], row["shape"])
        run(), run()
        if args.device == "cuda":
            gpu_memory[1] = torch.cuda.max_memory_allocated()
        mine, theirs = [], []
        for _ in range(min(args.rounds, 3) if row["name"] == "stdit training step" else args.rounds):
            time.sleep(0.02)  # threads of the one that just ran go to sleep before the other runs
            mine.append([float(n) for n in ours.ask(f"run {args.seconds}").split()])
            time.sleep(0.02)
            theirs.append(timed(run, args.seconds))
        ours.ask("close")
        del run
        (t_ours, best_ours), (t_theirs, best_theirs) = ((statistics.median(m for m, _ in turns), min(b for _, b in turns)) for turns in (mine, theirs))
        result = {"name": row["name"], "dtype": row["dtype"], "shape": row["shape"], "ours_ms": round(t_ours * 1e3, 4), "torch_ms": round(t_theirs * 1e3, 4),
                  "ratio": round(t_theirs / t_ours, 3), "share_of_peak": round(row["amount"] / t_ours / row["peak"], 3),
                  "ratio_of_best": round(best_theirs / best_ours, 3)}
        floor = floor_of(row["name"], row["dtype"])
        note = f"  below {floor}" if floor and result["ratio"] < floor else ""
        if row["name"] == "stdit training step":
            memory = gpu_memory if args.device == "cuda" else step_memory(args.bench, args.threads, index, row)
            result["ours_gb"], result["torch_gb"] = (round(b / 1e9, 2) for b in memory)
            note += f"  memory {result['ours_gb']} GB, PyTorch {result['torch_gb']} GB"
        results.append(result)
        print(f"{row['name']:34} {row['dtype']:5} {row['shape']:38} {result['ours_ms']:9.3f} {result['torch_ms']:9.3f} {result['ratio']:6.2f} {result['share_of_peak']:6.2f} {result['ratio_of_best']:6.2f}{note}", flush=True)
        if args.json:
            with open(args.json, "w") as f:
                f.write("[\n" + ",\n".join("  " + json.dumps(r) for r in results) + "\n]\n")
    ours.end()


if __name__ == "__main__":
    main()
