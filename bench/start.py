#!/usr/bin/env python3
"""What using framegrad costs before it computes: starting the program, reading a gigabyte of weights, and its size.

    python3 bench/start.py [--program build/framegrad] [--bench build/framegrad_bench] [--runs N]

A start is the best and the median of many, wall and processor time. Loading is framegrad_bench's row, beside reading a file of the same size from
the page cache: by read(2) into memory that is used again, which no reader can be faster than, and by `dd` to /dev/null.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

LIMIT_MS, LIMIT_MB = 50, 8
GIGABYTE = 256 * 1024 * 1024 * 4


def start(command, runs):
    """Wall and processor milliseconds of each run."""
    wall, processor = [], []
    for _ in range(runs):
        used, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        wall.append((time.perf_counter() - begin) * 1e3)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append((after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) * 1e3)
    return wall, processor


def show(label, seconds):
    print(f"{label:34} {seconds * 1e3:8.0f} ms {GIGABYTE / seconds / 1e9:8.1f} GB/s")


def best_of(runs, work):
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def load(bench, runs):
    with tempfile.NamedTemporaryFile() as f:
        block = bytearray(1 << 20)
        for _ in range(GIGABYTE >> 20):
            f.write(block)
        f.flush()

        def read():
            os.lseek(f.fileno(), 0, os.SEEK_SET)
            while os.readv(f.fileno(), [block]):
                pass

        show("read(2), 1 MB at a time", best_of(runs, read))
        show("dd", best_of(runs, lambda: subprocess.run(["dd", "if=" + f.name, "of=/dev/null", "bs=1M", "status=none"], check=True)))

    process = subprocess.Popen([bench, "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(line):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline()

    for index, row in enumerate(json.loads(ask("rows"))):
        if row["name"].startswith("safetensors"):
            ask(f"open {index}")
            show(row["name"], min(float(ask("run 0").split()[1]) for _ in range(runs)))
            ask("close")
    process.stdin.close()
    process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/framegrad")
    parser.add_argument("--bench", default="build/framegrad_bench")
    parser.add_argument("--runs", type=int, default=50, help="starts; a fifth as many of loading")
    args = parser.parse_args()

    for command in ["--help"], ["devices"], ["inspect", "--help"]:
        wall, processor = start([args.program, *command], args.runs)
        note = f"  over {LIMIT_MS} ms" if min(wall) > LIMIT_MS else ""
        print(f"framegrad {' '.join(command):24} wall {min(wall):6.1f} ms best, {statistics.median(wall):6.1f} median; processor {min(processor):6.1f} and {statistics.median(processor):6.1f} ms{note}")

    with tempfile.TemporaryDirectory() as folder:
        stripped = shutil.copy(args.program, folder)
        subprocess.run(["strip", stripped], check=True)
        megabytes = os.path.getsize(stripped) / 1e6
    print(f"stripped {megabytes:.2f} MB{f'  over {LIMIT_MB} MB' if megabytes > LIMIT_MB else ''}")
    load(args.bench, max(1, args.runs // 5))


if __name__ == "__main__":
    main()
