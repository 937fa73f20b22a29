"""The Kolmogorov flow of models/kolmogorov.h by jax-cfd: grid points x steps per second, and the difference of its states from ours.

    python3 -m venv venv && venv/bin/pip install jax tree_math einops numpy scipy && venv/bin/pip install --no-deps jax-cfd
    venv/bin/python experiments/bench/jax_cfd_rate.py --nodes 64 --seconds 2            # one line, as solver_rates prints it
    build/experiments/bench/solver_rates --states states.bin --nodes 64
    venv/bin/python experiments/bench/jax_cfd_rate.py --nodes 64 --states states.bin    # double precision

The same scheme in the same precision as jax-cfd's users run it: van Leer's limiter, forward Euler, projection by fast
diagonalisation, float32. Many steps are one compiled loop, so that dispatch does not count, on as many threads as XLA takes.
"""

import argparse
import functools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--nodes", type=int, default=64)
parser.add_argument("--seconds", type=float, default=2)
parser.add_argument("--states", help="file of solver_rates --states: compare instead of timing")
arguments = parser.parse_args()
if arguments.states:
    jax.config.update("jax_enable_x64", True)

if not hasattr(jax, "tree_map"):  # jax-cfd 0.2 is older than JAX without it
    jax.tree_map = jax.tree_util.tree_map

import jax_cfd.base as cfd  # noqa: E402 (after the precision is chosen)
from jax_cfd.base import funcutils  # noqa: E402

REYNOLDS = 1000.0
OUTER = 0.04


def solver(nodes, inner):
    grid = cfd.grids.Grid((nodes, nodes), domain=((0, 2 * math.pi), (0, 2 * math.pi)))
    forcing = cfd.forcings.simple_turbulence_forcing(
        grid, constant_magnitude=1, constant_wavenumber=4, linear_coefficient=-0.1, forcing_type="kolmogorov")
    dt = OUTER / inner
    convect = lambda v: tuple(cfd.advection.advect_van_leer_using_limiters(u, v, dt) for u in v)
    step = cfd.equations.semi_implicit_navier_stokes(
        density=1.0, viscosity=1 / REYNOLDS, dt=dt, grid=grid, convect=convect, forcing=forcing,
        pressure_solve=functools.partial(cfd.pressure.solve_fast_diag))
    return grid, step


def field(grid, u, v):
    """u, v: (y, x), as ours are stored; jax-cfd has x first."""
    periodic = cfd.boundaries.periodic_boundary_conditions(2)
    return tuple(cfd.grids.GridVariable(cfd.grids.GridArray(jnp.asarray(c.T), offset, grid), periodic)
                 for c, offset in zip((u, v), grid.cell_faces))


def main():
    n = arguments.nodes
    inner = math.ceil(OUTER / (0.5 * 2 * math.pi / n / 5))
    grid, step = solver(n, inner)
    if arguments.states:
        start, end = np.fromfile(arguments.states).reshape(2, 2, n, n)
        theirs = jax.jit(funcutils.repeated(step, inner))(field(grid, *start))
        theirs = np.stack([np.asarray(c.data).T for c in theirs])
        print(f"{n} x {n}, one outer step ({inner} steps), double: largest change {np.abs(end - start).max():.3g}, "
              f"largest difference from jax-cfd {np.abs(theirs - end).max():.3g}")
        return
    # A flow as turbulent as ours: random, then some burn-in.
    v = cfd.initial_conditions.filtered_velocity_field(jax.random.PRNGKey(0), grid, 3, 4)
    steps = max(10, 400_000 // (n * n))
    many = jax.jit(funcutils.repeated(step, steps))
    v = jax.block_until_ready(many(v))
    times = []
    end = time.perf_counter() + arguments.seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        v = jax.block_until_ready(many(v))
        times.append(time.perf_counter() - start)
    assert bool(jnp.isfinite(v[0].data).all())
    best, median = (n * n * steps / t for t in (min(times), sorted(times)[len(times) // 2]))
    print(f"jax-cfd {n} float32 all threads best {best:.4g} median {median:.4g}")


main()
