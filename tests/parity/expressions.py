"""Random expressions over the operations of autodiff/op.h, in the format of graph.h."""

import random

import torch

import in_torch

# Inputs are multiples of this, so that float32 has them exactly and its error is that of the computation alone.
GRID = 2.0**-16
# Further draws differ by so many GRIDs at most: other round-off, but the same side of every edge.
SPREAD = 64
DRAWS = 8
# Distance that values keep from the edges of piecewise functions and from the ends of domains.
MARGIN = 0.02
LARGEST = 50
MOST_ELEMENTS = 96

UNARY = ["neg", "sin", "cos", "exp", "square", "abs", "sign", "sigmoid", "silu", "silu_derivative", "tanh", "relu",
         "gelu", "erf", "softplus"]
BINARY = ["add", "sub", "mul", "maximum", "minimum", "greater"]


class Rejected(Exception):
    """An operation does not fit here."""


def number(rng, deviation=1.0):
    """Normal, at most 2.5 deviations from 0, on the grid."""
    return round(min(2.5, max(-2.5, rng.gauss(0, 1))) * deviation / GRID) * GRID


def numbers(rng, shape, deviation=1.0):
    count = 1
    for extent in shape:
        count *= extent
    return [number(rng, deviation) for _ in range(count)]


def spread(rng, values):
    """A list of numbers in all draws."""
    return [values] + [[x + rng.randint(-SPREAD, SPREAD) * GRID for x in values] for _ in range(DRAWS - 1)]


class Builder:
    """A graph under construction. Every value is known in all draws, so that none comes near an edge."""

    def __init__(self, rng):
        self.rng = rng
        self.entries = []  # an input: {"shape", "constant"}, or a node
        self.values = []  # of each entry, one tensor per draw

    def shape(self, i):
        return list(self.values[i][0].shape)

    def smallest(self, i):
        return min(float(v.min()) for v in self.values[i])

    def smallest_size(self, i):
        return min(float(v.abs().min()) for v in self.values[i])

    def input(self, shape):
        draws = spread(self.rng, numbers(self.rng, shape))
        self.entries.append({"shape": list(shape)})
        self.values.append([in_torch.tensor(values, shape, torch.float64) for values in draws])
        return len(self.entries) - 1

    def unit_matrix(self, n):
        self.entries.append({"shape": [n, n], "constant": True})
        self.values.append([torch.eye(n, dtype=torch.float64)] * DRAWS)
        return len(self.entries) - 1

    def apply(self, op, operands, **attributes):
        node = {"op": op, "in": list(operands), **attributes}
        results = []
        for draw in range(DRAWS):
            operand = [self.values[i][draw] for i in operands]
            if op in ("abs", "relu", "sign") and not bool((operand[0].abs() > MARGIN).all()):
                raise Rejected
            if op in ("maximum", "minimum", "greater") and not bool(((operand[0] - operand[1]).abs() > MARGIN).all()):
                raise Rejected
            y = in_torch.apply(node, operand)
            if y.numel() > MOST_ELEMENTS or y.dim() > 4 or not bool((y.abs() <= LARGEST).all()):
                raise Rejected
            results.append(y)
        self.entries.append(node)
        self.values.append(results)
        return len(self.entries) - 1

    def pick(self, fits=lambda i: True):
        """A value that fits: mostly the latest, so that the graph hangs together. None if there is no such."""
        found = [i for i in range(len(self.entries)) if not self.entries[i].get("constant") and fits(i)]
        if not found:
            return None
        return found[-1] if self.rng.random() < 0.75 else self.rng.choice(found)

    def random_shape(self, least_rank=1, most_rank=3):
        return [self.rng.choice([2, 3, 4, 5]) for _ in range(self.rng.randint(least_rank, most_rank))]

    def any(self, fits=lambda i: True, least_rank=0):
        """A value that fits, a new input where there is none."""
        ok = lambda i: len(self.shape(i)) >= least_rank and fits(i)
        i = self.pick(ok)
        return self.input(self.random_shape(max(1, least_rank))) if i is None else i

    def like(self, shape):
        """A value of that shape."""
        i = self.pick(lambda i: self.shape(i) == list(shape))
        return self.input(shape) if i is None or self.rng.random() < 0.4 else i

    def thinned(self, shape):
        """The shape with some axes of extent 1 and some leading ones gone."""
        shape = [1 if self.rng.random() < 0.3 else extent for extent in shape]
        return shape[self.rng.choice([0, 0, 0, 1, 2]):]

    def partner(self, i):
        """A value that broadcasts with i."""
        def fits(j):
            try:
                torch.broadcast_shapes(self.shape(i), self.shape(j))
                return j != i
            except RuntimeError:
                return False
        j = self.pick(fits)
        return self.input(self.thinned(self.shape(i))) if j is None or self.rng.random() < 0.5 else j

    def positive(self, i):
        """i, or a function of it, well above 0."""
        if self.smallest(i) > 0.2:
            return i
        kind = self.rng.randrange(3)
        if kind == 0:
            return self.apply("scale", [self.apply("square", [i])], alpha=1.0, beta=0.5)
        if kind == 1:
            return self.apply("scale", [self.apply("sigmoid", [i])], alpha=2.0, beta=0.25)
        return self.apply("scale", [self.apply("softplus", [i])], alpha=1.0, beta=0.25)

    def axis(self, i, extra=0):
        rank = len(self.shape(i)) + extra
        return self.rng.randrange(-rank, rank)

    def some_axes(self, i):
        """Some axes, of either sign."""
        rank = len(self.shape(i))
        axes = self.rng.sample(range(rank), self.rng.randint(1, rank))
        return [a - rank if self.rng.random() < 0.5 else a for a in axes]


def eighths(rng, least, most):
    return rng.randint(8 * least, 8 * most) / 8


def well_conditioned(b, i):
    if max(float(torch.linalg.cond(v).max()) for v in b.values[i]) > 30:
        raise Rejected


def add_pow(b):
    p = b.rng.choice([0.5, -0.5, 1.5, 2.5, 2.0, 3.0, -1.0, -2.0, 1.0, 0.0])
    i = b.any()
    away = p in (2.0, 3.0, 1.0, 0.0) or (p in (-1.0, -2.0) and b.smallest_size(i) > 0.3)
    return b.apply("pow", [i if away else b.positive(i)], p=p)


def add_div(b):
    i = b.any()
    j = b.partner(i)
    return b.apply("div", [i, j if b.smallest_size(j) > 0.3 else b.positive(j)])


def add_where(b):
    i = b.any()
    mask = b.apply("greater", [b.partner(i), b.partner(i)])
    return b.apply("where", [mask, i, b.partner(i)])


def add_matmul(b):
    i = b.any(least_rank=2)
    first = b.rng.random() < 0.5
    t_own, t_other = b.rng.random() < 0.5, b.rng.random() < 0.5
    own = b.shape(i)
    inner = own[-2 if t_own == first else -1]
    lead = b.thinned(own[:-2])
    if not own[:-2] and b.rng.random() < 0.3:
        lead = [b.rng.choice([2, 3])]
    outer = b.rng.choice([1, 2, 3, 4])
    # The other side's last two axes, as its flag stores them.
    as_second = [inner, outer] if first else [outer, inner]
    shape = lead + (as_second[::-1] if t_other else as_second)
    j = b.like(shape)
    if first:
        return b.apply("matmul", [i, j], transpose_a=t_own, transpose_b=t_other)
    return b.apply("matmul", [j, i], transpose_a=t_other, transpose_b=t_own)


def square_matrix(b):
    lead = [b.rng.choice([1, 2, 3])] if b.rng.random() < 0.4 else []
    n = b.rng.choice([2, 3, 4])
    i = b.pick(lambda i: len(b.shape(i)) >= 2 and b.shape(i)[-1] == b.shape(i)[-2] > 1)
    return b.input(lead + [n, n]) if i is None else i


def add_solve(b):
    j = b.pick(lambda i: len(b.shape(i)) >= 2 and b.shape(i)[-2] > 1)
    if j is not None and b.rng.random() < 0.5:
        n = b.shape(j)[-2]
        i = b.input(b.thinned(b.shape(j)[:-2]) + [n, n])
    else:
        i = square_matrix(b)
        n = b.shape(i)[-1]
        j = b.input(b.thinned(b.shape(i)[:-2]) + [n, b.rng.choice([1, 2, 3])])
    a = b.apply("add", [b.apply("scale", [i], alpha=0.5, beta=0.0),
                        b.apply("scale", [b.unit_matrix(n)], alpha=3.0, beta=0.0)])
    well_conditioned(b, a)
    return b.apply("solve", [a, j], transpose_a=b.rng.random() < 0.5)


def add_cholesky(b):
    if b.rng.random() < 0.5:
        i = square_matrix(b)
        a = b.apply("add", [b.apply("scale", [i], alpha=0.25, beta=0.0),
                            b.apply("scale", [b.unit_matrix(b.shape(i)[-1])], alpha=3.0, beta=0.0)])
        if min(float(torch.linalg.eigvalsh(0.5 * (v + v.mT)).min()) for v in b.values[a]) < 0.1:
            raise Rejected
    else:
        i = b.any(least_rank=2)
        a = b.apply("add", [b.apply("matmul", [i, i], transpose_a=False, transpose_b=True),
                            b.unit_matrix(b.shape(i)[-2])])
    well_conditioned(b, a)
    return b.apply("cholesky", [a])


def add_layer(op):
    def add(b):
        i = b.any(least_rank=2)
        out = b.rng.choice([1, 2, 3, 4])
        return b.apply(op, [i, b.input([b.shape(i)[-1], out]), b.input([out])])
    return add


def add_reduction(op):
    def add(b):
        i = b.any(least_rank=1)
        if op != "logsumexp" and b.rng.random() < 0.25:
            return b.apply(op, [i])
        return b.apply(op, [i], axes=b.some_axes(i), keep=b.rng.random() < 0.5)
    return add


def add_dot(b):
    i = b.any()
    return b.apply("dot", [i, b.like(b.shape(i))])


def add_sum_to(b):
    i = b.any(least_rank=1)
    return b.apply("sum_to", [i], shape=b.thinned(b.shape(i)))


def add_expand(b):
    i = b.any(lambda i: len(b.shape(i)) <= 3 and b.values[i][0].numel() <= 24)
    wide = [b.rng.choice([2, 3]) if extent == 1 else extent for extent in b.shape(i)]
    return b.apply("expand", [i], shape=([b.rng.choice([2, 3])] if wide == b.shape(i) else []) + wide)


def add_reshape(b):
    i = b.any()
    left = b.values[i][0].numel()
    shape = []
    while left > 1:
        factor = b.rng.choice([f for f in range(2, left + 1) if left % f == 0])
        shape.append(factor)
        left //= factor
    b.rng.shuffle(shape)
    if len(shape) > 4:
        raise Rejected
    if len(shape) < 4 and b.rng.random() < 0.3:
        shape.insert(b.rng.randint(0, len(shape)), 1)
    return b.apply("reshape", [i], shape=shape)


def add_concat(b):
    i = b.any(least_rank=1)
    axis = b.axis(i)
    parts = [i]
    for _ in range(b.rng.randint(1, 2)):
        shape = b.shape(i)
        shape[axis] = b.rng.choice([1, 2, 3])
        parts.append(b.like(shape))
    b.rng.shuffle(parts)
    return b.apply("concat", parts, axis=axis)


def add_stack(b):
    i = b.any(lambda i: len(b.shape(i)) <= 3)
    parts = [i] + [b.like(b.shape(i)) for _ in range(b.rng.randint(1, 2))]
    return b.apply("stack", parts, axis=b.axis(i, extra=1))


def add_transpose(b):
    i = b.any(least_rank=2)
    if b.rng.random() < 0.3:
        return b.apply("transpose", [i])
    permutation = list(range(len(b.shape(i))))
    b.rng.shuffle(permutation)
    return b.apply("transpose", [i], permutation=permutation)


def add_slice(b):
    i = b.any(least_rank=1)
    axis = b.axis(i)
    extent = b.rng.randint(1, b.shape(i)[axis])
    return b.apply("slice", [i], axis=axis, begin=b.rng.randint(0, b.shape(i)[axis] - extent), extent=extent)


def add_pad(b):
    i = b.any(least_rank=1)
    axis = b.axis(i)
    begin = b.rng.randint(0, 2)
    return b.apply("pad", [i], axis=axis, begin=begin, extent=begin + b.shape(i)[axis] + b.rng.randint(0, 2))


def add_gather(b):
    i = b.any(least_rank=1)
    axis = b.axis(i)
    index = [b.rng.randrange(b.shape(i)[axis]) for _ in range(b.rng.randint(1, 5))]
    return b.apply("gather", [i], axis=axis, index=index)


def add_scatter_add(b):
    i = b.any(least_rank=1)
    axis = b.axis(i)
    extent = b.rng.randint(1, 5)
    return b.apply("scatter_add", [i], axis=axis, index=[b.rng.randrange(extent) for _ in range(b.shape(i)[axis])],
                   extent=extent)


def add_scale(b):
    return b.apply("scale", [b.any()], alpha=eighths(b.rng, -2, 2) or 1.0, beta=eighths(b.rng, -1, 1))


def add_binary(op):
    def add(b):
        i = b.any()
        operands = [i, b.partner(i)]
        b.rng.shuffle(operands)
        return b.apply(op, operands)
    return add


ADD = {
    **{op: lambda b, op=op: b.apply(op, [b.any()]) for op in UNARY},
    **{op: add_binary(op) for op in BINARY},
    "sqrt": lambda b: b.apply("sqrt", [b.positive(b.any())]),
    "log": lambda b: b.apply("log", [b.positive(b.any())]),
    "pow": add_pow, "div": add_div, "where": add_where, "scale": add_scale, "matmul": add_matmul, "solve": add_solve,
    "cholesky": add_cholesky, "linear": add_layer("linear"), "linear_silu": add_layer("linear_silu"), "sum": add_reduction("sum"), "mean": add_reduction("mean"),
    "logsumexp": add_reduction("logsumexp"), "dot": add_dot, "sum_to": add_sum_to, "expand": add_expand,
    "reshape": add_reshape, "concat": add_concat, "stack": add_stack, "transpose": add_transpose, "slice": add_slice,
    "pad": add_pad, "gather": add_gather, "scatter_add": add_scatter_add,
}
assert set(ADD) == set(in_torch.OPERATIONS)


def tried(b, add):
    """One operation more, or Rejected when it does not fit in several tries; a failed try leaves nothing."""
    for _ in range(12):
        mark = len(b.entries)
        try:
            return add(b)
        except Rejected:
            del b.entries[mark:], b.values[mark:]
    raise Rejected


def finished(b, name):
    """The case of the last value: what it does not depend on is left out, inputs come first."""
    needed = {len(b.entries) - 1}
    for i in reversed(range(len(b.entries))):
        if i in needed:
            needed.update(b.entries[i].get("in", []))
    inputs = [i for i in sorted(needed) if "op" not in b.entries[i]]
    nodes = [i for i in sorted(needed) if "op" in b.entries[i]]
    place = {i: k for k, i in enumerate(inputs + nodes)}
    shapes = [b.shape(i) for i in inputs if not b.entries[i].get("constant")]
    return {"name": name,
            "inputs": [b.entries[i] for i in inputs],
            "nodes": [{**b.entries[i], "in": [place[j] for j in b.entries[i]["in"]]} for i in nodes],
            "draws": [{"inputs": [b.values[i][draw].reshape(-1).tolist() for i in inputs]} for draw in range(DRAWS)],
            "tangents": [numbers(b.rng, shape) for shape in shapes],
            "cotangent": numbers(b.rng, b.shape(len(b.entries) - 1))}


def expression(seed, name, focus, further):
    """A random expression with the operation `focus` in it and up to `further` others. None when it came to nothing."""
    b = Builder(random.Random(seed))
    try:
        for _ in range(b.rng.randint(0, further)):
            tried(b, ADD[b.rng.choice(sorted(ADD))])
        tried(b, ADD[focus])
        for _ in range(b.rng.randint(0, further)):
            tried(b, ADD[b.rng.choice(sorted(ADD))])
    except Rejected:
        return None
    case = finished(b, name)
    return case if case["tangents"] and any(node["op"] == focus for node in case["nodes"]) else None


def expressions(seed, count, accepted):
    """`count` cases, each operation the focus of every so many, and how many more were not accepted."""
    names = sorted(ADD)
    cases = []
    refused = 0
    for k in range(count):
        # The first of each operation are short: they show a fault best.
        further = 1 if k < len(names) else 6
        for attempt in range(200):
            case = expression(f"{seed} {k} {attempt}", f"expression {k}", names[k % len(names)], further)
            if case is not None and accepted(case):
                cases.append(case)
                break
            refused += case is not None
        else:
            raise RuntimeError(f"no expression with {names[k % len(names)]} was accepted")
    return cases, refused


def functions():
    """Each elementwise function of one argument at many numbers over a wide range: its float32 error shows best."""
    cases = []
    for op in UNARY + ["sqrt", "log", "pow"]:
        rng = random.Random(op)
        x = [round(rng.uniform(0.125, 8) / GRID) * GRID for _ in range(400)]
        if op in UNARY:
            x = [rng.choice([-1, 1]) * a for a in x]
        cases.append({"name": f"function {op}", "inputs": [{"shape": [len(x)]}],
                      "nodes": [{"op": op, "in": [0], **({"p": 1.5} if op == "pow" else {})}],
                      "draws": [{"inputs": [x]}], "tangents": [numbers(rng, [len(x)])],
                      "cotangent": numbers(rng, [len(x)])})
    return cases
