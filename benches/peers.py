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
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INPUT = 2
CONTESTANTS = ["auto", "sequential", "jax", "torch"]


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


def median_time(run, repeats=5, enough=1.0):
    """Median seconds of `run`, warmed up."""
    run()
    times, started = [], time.perf_counter()
    while len(times) < repeats and (not times or time.perf_counter() - started < enough):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def jax_gru(n, steps, batch):
    """Seconds a run of `lax.scan`."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.PRNGKey(0), 5)
    bound = n**-0.5
    draw = lambda key, *shape: jax.random.uniform(key, shape, jnp.float32, -bound, bound)
    w, v = draw(keys[0], 3 * n, INPUT), draw(keys[1], 3 * n, n)
    bias, bias_n = draw(keys[2], 3 * n), draw(keys[3], n)
    inputs = jax.random.normal(keys[4], (steps, batch, INPUT), jnp.float32)

    def rolled(unroll):
        def step(h, given):
            hidden = h @ v.T
            r = jax.nn.sigmoid(given[:, :n] + hidden[:, :n])
            z = jax.nn.sigmoid(given[:, n : 2 * n] + hidden[:, n : 2 * n])
            new = jnp.tanh(given[:, 2 * n :] + r * (hidden[:, 2 * n :] + bias_n))
            h = new + z * (h - new)
            return h, h

        def run(inputs):
            return jax.lax.scan(step, jnp.zeros((batch, n)), inputs @ w.T + bias, unroll=unroll)[1]

        compiled = jax.jit(run)
        return lambda: compiled(inputs).block_until_ready()

    return min(median_time(rolled(unroll)) for unroll in (1, 8))


def torch_gru(n, steps, batch, threads):
    """Seconds a run of `nn.GRU`."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    gru = torch.nn.GRU(INPUT, n)
    inputs = torch.randn(steps, batch, INPUT)
    with torch.no_grad():
        return median_time(lambda: gru(inputs))


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


def installed(package):
    try:
        return __import__(package).__version__
    except ImportError as error:
        print(f"{package} is left out: {error}", file=sys.stderr)
        return None


def main():
    chosen = options()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if not 1 <= chosen.threads <= len(cores):
            sys.exit(f"error: --threads: expected 1 to {len(cores)}, got {chosen.threads}")
        # Before JAX starts its threads, as many as it sees cores.
        os.sched_setaffinity(0, cores[: chosen.threads])
    versions = {package: installed(package) for package in ("jax", "torch")}
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
                seconds = jax_gru(*arguments) if name == "jax" else torch_gru(*arguments, chosen.threads)
                figures[name] = last[name, batch, n] = seconds * 1e9 / (steps * batch)
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


def length(steps):
    power = len(str(steps)) - 1
    return f"1e{power}" if steps == 10**power and power >= 3 else str(steps)


def shown(nanoseconds):
    if nanoseconds is None:
        return "–"
    return f"{nanoseconds:.3g}" if nanoseconds < 1000 else f"{nanoseconds:.0f}"


def ratio(peer, ours):
    return "–" if peer is None or ours is None else f"{peer / ours:.0f}×" if peer >= 100 * ours else f"{peer / ours:.3g}×"


if __name__ == "__main__":
    main()
