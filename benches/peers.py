#!/usr/bin/env python3
"""The same GRU in JAX and PyTorch on the CPU, in turn with this library; ratios as Markdown.

    pip install jax==0.10.2 torch==2.15.0 numpy
    python benches/peers.py                      # all sizes, 2 threads: about ten minutes
    python benches/peers.py --n 2,8 --t 1e5 --b 1 --rounds 1

JAX runs `jax.lax.scan` under `jit`, the products with the inputs taken out of the loop, the faster of unroll = 1
and 8; each call is waited for with `block_until_ready`. PyTorch runs `torch.nn.GRU` under `no_grad`. The library runs
`cargo run --release --example speed -- --json`. All in float32, on the same cores: this process and its children are
bound to the first `--threads` of them. Either package may be missing: its column is then empty.

A round runs every contestant on one size before the next size begins; a figure is the median over rounds of
each round's median. A run that would take longer than `--limit` seconds, going by a tenth of the length, is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from contestants import INPUT, installed, jax_scan, length, ratio, torch_gru

ROOT = Path(__file__).resolve().parent.parent
CONTESTANTS = ["auto", "sequential", "jax", "torch"]
# In a round, at least and at most: the rounds are runs, too.
RUNS = (1, 5)


def numbers(text):
    values = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if value < 1 or value != int(value):
            raise argparse.ArgumentTypeError(f"expected whole numbers of at least 1, such as 2,8 or 1e4, got {part!r}")
        values.append(int(value))
    return values


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=numbers, default=[1, 2, 4, 8, 16, 32, 64], help="state sizes")
    parser.add_argument("--t", type=numbers, default=[10_000, 100_000, 1_000_000], help="lengths")
    parser.add_argument("--b", type=numbers, default=[1, 16], help="batch sizes")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=4.0, help="seconds that one run may take")
    return parser.parse_args()


def library(n, steps, batch, threads):
    """Nanoseconds a step of `auto` and `sequential`; None where it was left out."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "speed.json"
        command = [ROOT / "target/release/examples/speed", "--only", "table", "--methods", "sequential,auto"]
        command += ["--dtype", "float32", "--n", n, "--t", steps, "--b", batch, "--threads", threads]
        command += ["--inputsize", INPUT, "--budget", 12, "--json", record]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
        measurements = json.loads(record.read_text())["measurements"]
    return {m["method"]: m["result"] and m["result"]["ns_per_step"] for m in measurements}


def main():
    chosen = options()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if not 1 <= chosen.threads <= len(cores):
            sys.exit(f"error: --threads: expected 1 to {len(cores)}, got {chosen.threads}")
        # Before JAX starts its threads, as many as it sees cores.
        os.sched_setaffinity(0, cores[: chosen.threads])
    versions = {package: installed(package) for package in ("jax", "torch")}
    if versions["torch"]:
        import torch

        torch.set_num_threads(chosen.threads)
    subprocess.run(["cargo", "build", "--release", "--example", "speed"], cwd=ROOT, check=True)

    sizes = [(b, n, t) for b in chosen.b for n in chosen.n for t in chosen.t]
    measured = {size: {name: [] for name in CONTESTANTS} for size in sizes}
    last = {}  # nanoseconds a step of each peer at the length before
    for round_ in range(chosen.rounds):
        for batch, n, steps in sizes:
            print(f"\rround {round_ + 1}: B = {batch}, n = {n}, T = {steps}    ", end="", file=sys.stderr)
            figures = dict(library(n, steps, batch, chosen.threads))
            for name in ("jax", "torch"):
                expected = last.get((name, batch, n), 0.0) * steps * batch * 1e-9
                if versions[name] is None or expected > chosen.limit:
                    continue
                arguments = (n, steps, batch)
                timed = jax_scan(*arguments, runs=RUNS) if name == "jax" else torch_gru(*arguments, runs=RUNS)
                figures[name] = last[name, batch, n] = timed.seconds * 1e9 / (steps * batch)
            for name in CONTESTANTS:
                if figures.get(name):
                    measured[batch, n, steps][name].append(figures[name])
    print(file=sys.stderr)

    print(f"GRU, float32, input {INPUT}, {chosen.threads} threads; JAX {versions['jax']}, PyTorch {versions['torch']}.")
    print("Nanoseconds a step, all sequences counted; the last two columns: times as fast as the peer.\n")
    print("| B | n | T | `auto` | `sequential` | JAX `lax.scan` | PyTorch `nn.GRU` | JAX / `auto` | PyTorch / `auto` |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for (batch, n, steps), figures in measured.items():
        medians = {name: statistics.median(times) if times else None for name, times in figures.items()}
        cells = [shown(medians[name]) for name in CONTESTANTS]
        ratios = [ratio(medians[peer], medians["auto"]) for peer in ("jax", "torch")]
        print(f"| {batch} | {n} | {length(steps)} | " + " | ".join(cells + ratios) + " |")


def shown(nanoseconds):
    if nanoseconds is None:
        return "–"
    return f"{nanoseconds:.3g}" if nanoseconds < 1000 else f"{nanoseconds:.0f}"


if __name__ == "__main__":
    main()
