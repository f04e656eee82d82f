#!/usr/bin/env python3
"""framegrad's rows beside PyTorch's, in one run on one machine.

    pip install torch            # a plain CPU build is enough
    cmake --build build --target framegrad_bench
    python3 bench/against_torch.py [--device cuda] [--json FILE] [--bench build/framegrad_bench] [--only WORDS] [--threads N] [--compile]

For each row the two take turns, `--rounds` times (three if a run takes over a second, two if over five); each turn runs the row for about `--seconds`, and
its result is the median of its runs. A row's time is the median of its turns. ratio is PyTorch's time over ours: above 1, framegrad is faster. best is
that ratio of the fastest runs, which is what counts on a machine that others use. share is ours of the machine's peak, which framegrad_bench measures as
it starts. A network's memory is the highest resident size of its process, less what it had before the network was made. With --compile, networks
and what is bound by memory have a third turn: PyTorch's by torch.compile, which needs g++ and takes minutes to compile a network's step.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
# Below these ratios a row is marked. What has no floor is not held to one.
FLOORS = {
    ("linear", "f32"): 0.8, ("linear", "bf16"): 0.7, ("matmul", "f32"): 0.8, ("matmul", "bf16"): 0.7,
    "layer_norm": 1.0, "layer_norm_modulate": 1.0, "group_norm_silu": 1.0, "gelu_tanh": 1.0, "softmax": 1.0, "adamw": 1.0,
    "attention spatial": 0.8, "attention full": 0.8, "attention temporal": 0.8, "attention cross": 0.8, "stdit training step": 0.8,
    "stdit training step, checkpointed": 0.8, "stdit sampling": 0.8, "taef2 decoder": 0.8, "mlp training step": 1.0, "add one, recorded": 1.0, "safetensors load": 1.0,
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


def geglu(shape, dtype):
    def run(x):
        value, gate = x.chunk(2, -1)
        return value * F.gelu(gate)

    return [torch.randn(*sizes(shape), dtype=dtype)], run


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


def conv2d(shape, dtype):
    n, c, h, w, o = sizes(shape)
    inputs = [torch.randn(n, c, h, w, dtype=dtype), torch.randn(o, c, 3, 3, dtype=dtype) * 0.02, torch.randn(o, dtype=dtype)]
    return inputs, lambda x, weight, bias: F.conv2d(x, weight, bias, padding=1)


def conv3d(shape, dtype):
    n, c, t, h, w, o = sizes(shape)
    inputs = [torch.randn(n, c, t, h, w, dtype=dtype), torch.randn(o, c, 3, 3, 3, dtype=dtype) * 0.02, torch.randn(o, dtype=dtype)]
    return inputs, lambda x, weight, bias: F.conv3d(x, weight, bias, padding=1)


OPS = {"linear": linear, "matmul": matmul, "layer_norm": layer_norm, "layer_norm_modulate": layer_norm_modulate, "gated_residual": gated_residual,
       "group_norm_silu": group_norm_silu, "gelu_tanh": gelu_tanh, "geglu": geglu, "softmax": softmax, "conv2d": conv2d, "conv3d": conv3d,
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


# --- rows with a network or a file: function(row's shape, dtype, compiled) -> (network or None, what runs it once) ---------------------

def same(f):
    return f


def adamw(params):
    return torch.optim.AdamW(params, lr=1e-4, weight_decay=0.01, fused=True)


def stdit(shape, dtype, batches=1, **options):
    """The network, and x, t and captions for `batches` times the batch of the shape."""
    first, *words = shape.split()
    size = sizes(first)
    size[0] *= batches
    options |= {key: int(value) for key, value in zip(words[::2], words[1::2])}
    model = Stdit(**options).to(dtype)
    return model, torch.randn(*size), torch.full((size[0],), 500.0), torch.randn(size[0], 1, 120, options["caption"], dtype=dtype)


def training_step(network, loss, max_norm=None):
    optimizer = adamw(network.parameters())

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        if max_norm:
            torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm)
        optimizer.step()

    return network, step


def without_graph(network, f):
    def run():
        with torch.no_grad():
            return f()

    return network, run


def stdit_step(shape, dtype, compiled=same, checkpointed=False):
    model, target, t, caption = stdit(shape, dtype, checkpointed=checkpointed)
    x, forward = torch.randn_like(target).to(dtype), compiled(model)
    return training_step(model, lambda: F.mse_loss(forward(x, t, caption), target), max_norm=1.0)


def stdit_step_checkpointed(shape, dtype, compiled=same):
    return stdit_step(shape, dtype, compiled, checkpointed=True)


def stdit_sampling(shape, dtype, compiled=same):
    model, both, t, caption = stdit(shape, dtype, batches=2)
    x, forward = both.chunk(2)[0], compiled(model)

    def guided():
        with_words, without = forward(torch.cat([x, x]).to(dtype), t, caption).chunk(2)
        return without + 7 * (with_words - without)

    return without_graph(model, guided)


def taef2(shape, dtype, compiled=same):
    decoder = taef2_decoder().to(dtype, memory_format=torch.channels_last)  # the layout in which its library is fastest
    latents, forward = torch.randn(*sizes(shape), dtype=dtype), compiled(decoder)
    return without_graph(decoder, lambda: forward(latents))


def mlp_step(shape, dtype, compiled=same):
    first, _, *hidden, _, out = shape.split()
    batch, *widths = sizes(first) + [int(n) for n in hidden] + [int(out)]
    layers = [layer for pair in zip(widths, widths[1:]) for layer in (nn.GELU(approximate="tanh"), nn.Linear(*pair))]
    network, x, target = nn.Sequential(*layers[1:]), torch.randn(batch, widths[0]), torch.randn(batch, widths[-1])
    forward = compiled(network)
    return training_step(network, lambda: F.mse_loss(forward(x), target))


def ones_added(shape):
    x = y = torch.ones(1, requires_grad=True)
    for _ in range(int(shape.split()[0])):
        y = y + 1
    return x, y


def add_one(shape, dtype, compiled=same):
    return None, lambda: ones_added(shape)


def add_one_and_gradient(shape, dtype, compiled=same):
    def run():
        x, y = ones_added(shape)
        torch.autograd.grad(y, x)

    return None, run


def stored(shape):
    from safetensors.torch import save_file

    count, *side = sizes(shape)
    folder = tempfile.TemporaryDirectory()
    weights = {str(i): torch.full(side, 0.5) for i in range(count)}
    save_file(weights, folder.name + "/weights.safetensors")
    return weights, folder


def safetensors_load(shape, dtype, compiled=same):
    from safetensors.torch import load_file

    weights, folder = stored(shape)

    def load():  # as load_state_dict does
        for name, values in load_file(folder.name + "/weights.safetensors").items():
            weights[name].copy_(values)

    return None, load


def safetensors_load_mapped(shape, dtype, compiled=same):
    from safetensors.torch import load_file

    _, folder = stored(shape)
    return None, lambda: load_file(folder.name + "/weights.safetensors")


def adamw_step(shape, dtype, compiled=same):
    count, *side = sizes(shape)
    params = [nn.Parameter(torch.full(side, 0.01)) for _ in range(count)]
    for p in params:
        p.grad = torch.randn_like(p)
    return None, adamw(params).step


RUNS = {"stdit training step": stdit_step, "stdit training step, checkpointed": stdit_step_checkpointed, "stdit sampling": stdit_sampling, "taef2 decoder": taef2,
        "mlp training step": mlp_step, "add one, recorded": add_one, "add one, recorded and gradient": add_one_and_gradient, "safetensors load": safetensors_load,
        "safetensors load, mapped": safetensors_load_mapped, "adamw": adamw_step}
COMPILED = "stdit training step", "stdit sampling", "taef2 decoder"  # and what is bound by memory


def torch_row(row, compiled=same):
    """(the network or None, what runs the row once). compiled: what is made of a function before it is called."""
    name, shape, dtype = row["name"], row["shape"], DTYPES[row["dtype"]]
    if name in RUNS:
        return RUNS[name](shape, dtype, compiled)
    op, back = name.removesuffix(" and gradient"), name.endswith(" and gradient")
    inputs, f = OPS[op](shape, dtype)
    f = compiled(f)
    if not back:
        return without_graph(None, lambda: f(*inputs))
    inputs = [x.requires_grad_() for x in inputs]
    with torch.no_grad():
        dy = f(*inputs).clone()
    return None, lambda: torch.autograd.grad(f(*inputs), inputs, dy)


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

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Resident:
    """The most memory that a process has resident from now on, beyond what it has now."""

    def __init__(self, pid="self"):
        if pid == "self":
            ctypes.CDLL(None).malloc_trim(0)
        self.status = f"/proc/{pid}/status"
        with open(f"/proc/{pid}/clear_refs", "w") as f:
            f.write("5")  # the high-water mark begins again
        self.before = self.line("VmRSS")

    def line(self, key):
        with open(self.status) as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key))

    def bytes(self):
        return self.line("VmHWM") - self.before


class GpuMemory:
    """The same of PyTorch's tensors on a GPU."""

    def __init__(self):
        torch.cuda.reset_peak_memory_stats()

    def bytes(self):
        return torch.cuda.max_memory_allocated()


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


def by_compiler(row):
    """What runs the row once through torch.compile, or None."""
    torch._dynamo.reset()
    try:
        _, run = torch_row(row, torch.compile)
        run(), run()
        return run
    except Exception as e:  # no compiler, or something that it can't do
        print(f"{row['name']} {row['dtype']}: torch.compile can't run here: {str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__}")


def compare(row, index, ours, args):
    """The row's result, and a note on it."""
    on_gpu = args.device == "cuda"
    of_ours = None if on_gpu else Resident(ours.process.pid)
    gpu_peak = float(ours.ask(f"open {index}"))
    of_torch = GpuMemory() if on_gpu else Resident()
    network, run = torch_row(row)
    if network is not None:
        count = sum(p.numel() for p in network.parameters())
        if count != row["parameters"]:
            sys.exit(f"{row['name']}: PyTorch's network has {count} parameters, ours {row['parameters']}")
    first, _ = timed(run, 0)
    run()  # now memory is what it will be: an optimizer makes its own in the first step
    torch_bytes = of_torch.bytes()
    sides = [lambda: [float(n) for n in ours.ask(f"run {args.seconds}").split()], lambda: timed(run, args.seconds)]
    if args.compile and (row["name"] in COMPILED or row["bound"] == "memory" and row["name"] not in RUNS):
        compiled = by_compiler(row)
        if compiled:
            sides.append(lambda: timed(compiled, args.seconds))
    turns = [[] for _ in sides]
    for _ in range(min(args.rounds, 2 if first > 5 else 3 if first > 1 else args.rounds)):
        for side, results in zip(sides, turns):
            time.sleep(0.02)  # threads of the one that just ran go to sleep before the other runs
            results.append(side())
    ours_bytes = gpu_peak if on_gpu else of_ours.bytes()
    ours.ask("close")
    medians, best = ([pick(t) for t in turns] for pick in (lambda turn: statistics.median(m for m, _ in turn), lambda turn: min(b for _, b in turn)))
    result = {"name": row["name"], "dtype": row["dtype"], "shape": row["shape"], "ours_ms": round(medians[0] * 1e3, 4), "torch_ms": round(medians[1] * 1e3, 4),
              "ratio": round(medians[1] / medians[0], 3), "share_of_peak": round(row["amount"] / medians[0] / row["peak"], 3), "ratio_of_best": round(best[1] / best[0], 3)}
    spread = [max(m for m, _ in turn) / min(m for m, _ in turn) - 1 for turn in turns]
    result["ours_spread"], result["torch_spread"] = (round(x, 3) for x in spread[:2])
    floor = floor_of(row["name"], row["dtype"])
    note = f"  below {floor}" if floor and result["ratio"] < floor else ""
    if len(turns) > 2:
        result["compiled_ms"] = round(medians[2] * 1e3, 4)
        note += f"  compiled {result['compiled_ms']:.3f} ms"
    if row["parameters"] > 1e6:
        weights = row["parameters"] * (2 if row["dtype"] == "bf16" else 4)
        result["ours_gb"], result["torch_gb"], result["weights_gb"] = (round(b / 1e9, 3) for b in (ours_bytes, torch_bytes, weights))
        note += f"  memory {result['ours_gb']:.2f} GB, PyTorch {result['torch_gb']:.2f} GB; beside the weights {(ours_bytes - weights) / (torch_bytes - weights):.2f} of PyTorch's"
    return result, note


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the results: a list of {name, dtype, shape, ours_ms, torch_ms, ratio, share_of_peak, ratio_of_best, …}; a spread is the slowest turn over the fastest, less 1")
    parser.add_argument("--bench", default="build/framegrad_bench", help="the program framegrad_bench")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", default="", help="rows whose name, dtype or shape holds these words")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side; slow rows have fewer")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too: networks, and what is bound by memory")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    torch.manual_seed(0)

    ours = Ours(args.bench, args.threads, args.device)
    peaks, rows = json.loads(ours.ask("peaks")), json.loads(ours.ask("rows"))
    print(f"framegrad on path {peaks['path']}, PyTorch {torch.__version__}, {args.threads} threads each, in turns")
    print(f"at best {peaks['fma'] / 1e9:.0f} GFLOP/s by FMA, {peaks['bf16'] / 1e9:.0f} in bf16; copying {peaks['copy_16MB'] / 1e9:.1f} GB/s within 16 MB, {peaks['copy_256MB'] / 1e9:.1f} within 256 MB\n")
    print(f"{'row':34} {'dtype':5} {'shape':55} {'ours ms':>9} {'torch ms':>9} {'ratio':>6} {'share':>6} {'best':>6}")
    results = []
    for index, row in enumerate(rows):
        if not all(word in f"{row['name']} {row['dtype']} {row['shape']}" for word in args.only.split()):
            continue
        result, note = compare(row, index, ours, args)
        results.append(result)
        print(f"{row['name']:34} {row['dtype']:5} {row['shape']:55} {result['ours_ms']:9.3f} {result['torch_ms']:9.3f} {result['ratio']:6.2f} {result['share_of_peak']:6.2f} {result['ratio_of_best']:6.2f}{note}", flush=True)
        if args.json:
            with open(args.json, "w") as f:
                f.write("[\n" + ",\n".join("  " + json.dumps(r) for r in results) + "\n]\n")
    ours.end()


if __name__ == "__main__":
    main()
