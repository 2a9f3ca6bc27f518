"""The same cells in JAX and PyTorch, and how they are timed: what `benches/peers.py` and `scripts/gpu-peers` share.

Each function returns a `Time`, all in float32, warmed up, each run waited for. Inputs `[T, B, INPUT]` are normal and on
the device, weights uniform within ±1/√n. `runs` says how many runs there are at least and at most: beyond the least there are no
more after `ENOUGH` seconds.
"""

import importlib.util
import statistics
import sys
import time
import types
import typing

INPUT = 2
# Seconds after which no run begins that need not.
ENOUGH = 1.0
RUNS = (3, 5)


class Time(typing.NamedTuple):
    """Median seconds of a run, and of how many."""

    seconds: float
    runs: int


def installed(package):
    """Its version, or None with a line that says why not."""
    try:
        return __import__(package).__version__
    except ImportError as error:
        print(f"{package} is left out: {error}", file=sys.stderr)
        return None


def median_time(run, runs):
    """The time of `run`, after a run that is not counted."""
    run()
    least, most = runs
    times, started = [], time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - started < ENOUGH):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return Time(statistics.median(times), len(times))


def jax_scan(n, steps, batch, unrolls=(1, 8), runs=RUNS):
    """A GRU by `lax.scan` under `jit`, the products with the inputs taken out of the loop; the fastest of `unrolls`."""
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

    return min(median_time(rolled(unroll), runs) for unroll in unrolls)


def _seq1d():
    """DEER's `seq1d`. The package's own `__init__` also imports what needs more packages than this."""
    if "deer" not in sys.modules:
        found = importlib.util.find_spec("deer")
        if found is None:
            raise ModuleNotFoundError("No module named 'deer'")
        package = types.ModuleType("deer")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["deer"] = package
    from deer.fseq1d import seq1d

    return seq1d


def upstream_deer(n, steps, batch, runs=RUNS):
    """A GRU of Equinox by DEER's own `seq1d`, called as in its demonstration."""
    import equinox
    import jax
    import jax.numpy as jnp

    seq1d = _seq1d()
    keys = jax.random.split(jax.random.PRNGKey(0), 2)
    params, static = equinox.partition(equinox.nn.GRUCell(INPUT, n, key=keys[0]), equinox.is_array)
    inputs = jax.random.normal(keys[1], (steps, batch, INPUT), jnp.float32)
    initial = jnp.zeros((batch, n), jnp.float32)

    def step(state, inputs, params):
        return equinox.combine(params, static)(inputs, state)

    @jax.jit
    def run(initial, inputs, params):
        return jax.vmap(seq1d, in_axes=(None, 0, 1, None), out_axes=1)(step, initial, inputs, params).value

    return median_time(lambda: run(initial, inputs, params).block_until_ready(), runs)


def torch_gru(n, steps, batch, device="cpu", runs=RUNS):
    """`nn.GRU` under `no_grad`; on a card that is cuDNN's."""
    import torch

    torch.manual_seed(0)
    gru = torch.nn.GRU(INPUT, n).to(device)
    inputs = torch.randn(steps, batch, INPUT, device=device)
    return _torch_time(lambda: gru(inputs), device, runs)


def pararnn_gru(n, steps, batch, device="cuda", runs=RUNS):
    """ParaRNN's diagonal GRU by its fused kernel, with its product with the inputs."""
    import torch
    from pararnn.rnn_cell.gru_diag_mh import GRUDiagMH, GRUDiagMHConfig

    torch.manual_seed(0)
    cell = GRUDiagMH(
        GRUDiagMHConfig(state_dim=n, input_dim=INPUT, num_heads=1, device=torch.device(device), mode="parallel_FUSED")
    )
    inputs = torch.randn(batch, steps, INPUT, device=device)
    return _torch_time(lambda: cell(inputs), device, runs)


def _torch_time(run, device, runs):
    import torch

    def waited():
        run()
        if device != "cpu":
            torch.cuda.synchronize()

    with torch.no_grad():
        return median_time(waited, runs)


def length(steps):
    power = len(str(steps)) - 1
    return f"1e{power}" if steps == 10**power and power >= 3 else str(steps)


def ratio(peer, ours):
    return "–" if peer is None or ours is None else f"{peer / ours:.0f}×" if peer >= 100 * ours else f"{peer / ours:.3g}×"
