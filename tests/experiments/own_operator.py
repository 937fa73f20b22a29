"""A data set of whirls that drift at an unknown speed, and observations of one of them through operators.

own_operator.py     writes whirls.nc, seen.nc, full.nc and band.nc
The truth: drift 0.8; time 0 of the observations is 0.5 after the start.
"""

import numpy
import xarray

random = numpy.random.default_rng(4)
truth, start = 0.8, 0.5


def wind(drift, t, x, y):
    """u and v: of the stream function exp(-10 r^2) about the whirl's centre."""
    dx, dy = x - 0.5 - drift * t, y - 0.5
    psi = numpy.exp(-10 * (dx**2 + dy**2))
    return numpy.stack([20 * dy * psi, -20 * dx * psi])


drift = random.uniform(0.5, 1.5, 40)
time, y, x = numpy.arange(16) * 0.1, numpy.linspace(0, 1, 12), numpy.linspace(0, 3, 36)
xarray.Dataset(
    {
        "field": (("member", "time", "channel", "y", "x"), [[wind(c, t, *numpy.meshgrid(x, y)) for t in time] for c in drift]),
        "parameters": (("member", "parameter"), drift[:, None]),
    },
    {"time": time, "y": y, "x": x, "channel": ["u", "v"], "parameter": ["drift"]},
).to_netcdf("whirls.nc")


def observed(op, channel, t, x, y, extent_x, extent_y):
    """What an operator is of the true fields: averages over many places."""
    if op == "disc":  # the same area for each
        radius, angle = numpy.sqrt((numpy.arange(100) + 0.5) / 100), numpy.pi * (3 - numpy.sqrt(5)) * numpy.arange(100)
        x, y = x + extent_x * radius * numpy.cos(angle), y + extent_x * radius * numpy.sin(angle)
    if op == "line":
        share = (numpy.arange(100) + 0.5) / 100
        x, y = x + extent_x * share, y + extent_y * share
    u, v = wind(truth, start + t, numpy.atleast_1d(x), numpy.atleast_1d(y))
    own = u if channel == "u" else v
    at_places = {"speed": numpy.hypot(u, v), "energy": 0.6 * (u**2 + v**2), "arctan": numpy.arctan(own)}.get(op, own)
    return at_places.mean()


def write(name, ops, rows, errors, covariance):
    """Observations with these errors, whose covariance stands as `covariance` says."""
    op = [ops[i % len(ops)] for i in range(rows)]
    channel = random.choice(["u", "v"], rows)
    t, px, py = random.uniform([0, 0.4, 0.3], [0.6, 2.6, 0.7], (rows, 3)).T
    extent_x, extent_y = numpy.full(rows, 0.2), numpy.full(rows, 0.0)
    exact = [observed(*row) for row in zip(op, channel, t, px, py, extent_x, extent_y)]
    xarray.Dataset(
        {
            "time": ("row", t), "x": ("row", px), "y": ("row", py), "channel": ("row", channel.astype(object)),
            "op": ("row", numpy.array(op, object)), "extent_x": ("row", extent_x), "extent_y": ("row", extent_y),
            "value": ("row", exact + errors), **covariance,
        }
    ).to_netcdf(name)


rows, deviation = 150, 0.1
write(
    "seen.nc",
    ["speed", "energy", "arctan", "disc", "line", "value"],
    rows,
    deviation * random.normal(size=rows),
    {"error_std": ("row", numpy.full(rows, deviation))},
)

# Neighbours in the file share errors, as those of one instrument do; and the whole file an offset.
shared = random.normal(size=rows + 1)
write(
    "band.nc",
    ["speed", "value"],
    rows,
    deviation * (shared[1:] + shared[:-1]),
    {"error_band": (("row", "band"), deviation**2 * numpy.tile([2.0, 1.0], (rows, 1)))},
)
write(
    "full.nc",
    ["value"],
    rows,
    deviation * random.normal(size=rows) + 0.3,
    {"error_covariance": (("row", "column"), deviation**2 * numpy.eye(rows) + 0.3**2)},
)
