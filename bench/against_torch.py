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
import time

import torch

from torch_rows import COMPILED, RUNS, torch_row

# Below these ratios a row is marked. What has no floor is not held to one.
FLOORS = {
    ("linear", "f32"): 0.8, ("linear", "bf16"): 0.7, ("matmul", "f32"): 0.8, ("matmul", "bf16"): 0.7,
    "layer_norm": 1.0, "layer_norm_modulate": 1.0, "group_norm_silu": 1.0, "gelu_tanh": 1.0, "softmax": 1.0, "adamw": 1.0,
    "attention spatial": 0.8, "attention full": 0.8, "attention temporal": 0.8, "attention cross": 0.8, "stdit training step": 0.8,
    "stdit training step, checkpointed": 0.8, "stdit sampling": 0.8, "taef2 decoder": 0.8, "mlp training step": 1.0, "add one, recorded": 1.0, "safetensors load": 1.0,
}


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
