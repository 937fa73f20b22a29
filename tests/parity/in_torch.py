"""The operations, layers and optimisers of levda said in PyTorch, and a case's answers (the format: graph.h)."""

import math
import os
import sys

# The libraries of the accelerator, which a run on the CPU never calls, may be empty stand-ins: see run.sh.
sys.setdlopenflags(os.RTLD_LAZY)

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F

torch.set_num_threads(1)
# The fused LSTM of float32 has no second derivative.
torch.backends.mkldnn.enabled = False


def over_axes(f):
    """A reduction over n["axes"], or over all."""
    return lambda n, x: f(x, dim=tuple(n["axes"]), keepdim=n["keep"]) if "axes" in n else f(x)


def transposed(x, yes=True):
    return x.transpose(-1, -2) if yes else x


def solve(n, a, b):
    a = transposed(a, n["transpose_a"])
    # Equal leading axes, or PyTorch might take a matrix b for a batch of vectors.
    lead = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return torch.linalg.solve(a.expand(lead + a.shape[-2:]), b.expand(lead + b.shape[-2:]))


def silu_derivative(n, x):
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def pad(n, x):
    axis = n["axis"] % x.dim()
    widths = [0, 0] * x.dim()
    widths[2 * (x.dim() - 1 - axis)] = n["begin"]
    widths[2 * (x.dim() - 1 - axis) + 1] = n["extent"] - n["begin"] - x.shape[axis]
    return F.pad(x, widths)


def scatter_add(n, x):
    shape = list(x.shape)
    shape[n["axis"]] = n["extent"]
    return x.new_zeros(shape).index_add(n["axis"], torch.tensor(n["index"]), x)


OPERATIONS = {
    "add": lambda n, a, b: a + b,
    "sub": lambda n, a, b: a - b,
    "mul": lambda n, a, b: a * b,
    "div": lambda n, a, b: a / b,
    "neg": lambda n, x: -x,
    "sin": lambda n, x: torch.sin(x),
    "cos": lambda n, x: torch.cos(x),
    "exp": lambda n, x: torch.exp(x),
    "sqrt": lambda n, x: torch.sqrt(x),
    "square": lambda n, x: torch.square(x),
    "log": lambda n, x: torch.log(x),
    "pow": lambda n, x: torch.pow(x, n["p"]),
    "abs": lambda n, x: torch.abs(x),
    "sign": lambda n, x: torch.sign(x),
    "sigmoid": lambda n, x: torch.sigmoid(x),
    "silu": lambda n, x: F.silu(x),
    "silu_derivative": silu_derivative,
    "tanh": lambda n, x: torch.tanh(x),
    "relu": lambda n, x: torch.relu(x),
    "gelu": lambda n, x: F.gelu(x),
    "erf": lambda n, x: torch.erf(x),
    # Without the threshold of 20, beyond which PyTorch leaves out an exp(-x) that float64 still sees.
    "softplus": lambda n, x: F.softplus(x, threshold=700),
    "maximum": lambda n, a, b: torch.maximum(a, b),
    "minimum": lambda n, a, b: torch.minimum(a, b),
    "greater": lambda n, a, b: (a > b).to(a.dtype),
    "where": lambda n, mask, a, b: torch.where(mask != 0, a, b),
    "scale": lambda n, x: n["alpha"] * x + n["beta"],
    "matmul": lambda n, a, b: torch.matmul(transposed(a, n["transpose_a"]), transposed(b, n["transpose_b"])),
    "solve": solve,
    # PyTorch reads the lower triangle alone, levda the symmetric part.
    "cholesky": lambda n, x: torch.linalg.cholesky(0.5 * (x + transposed(x))),
    "linear": lambda n, x, w, b: F.linear(x, w.t(), b),
    "linear_silu": lambda n, x, w, b: F.silu(F.linear(x, w.t(), b)),
    "sum_to": lambda n, x: x.sum_to_size(n["shape"]),
    "sum": over_axes(torch.sum),
    "mean": over_axes(torch.mean),
    "logsumexp": over_axes(torch.logsumexp),
    "dot": lambda n, a, b: torch.sum(a * b),
    "expand": lambda n, x: x.expand(n["shape"]),
    "reshape": lambda n, x: x.reshape(n["shape"]),
    "concat": lambda n, *x: torch.cat(x, n["axis"]),
    "stack": lambda n, *x: torch.stack(x, n["axis"]),
    "transpose": lambda n, x: x.permute(n["permutation"]) if "permutation" in n else transposed(x),
    "slice": lambda n, x: x.narrow(n["axis"], n["begin"], n["extent"]),
    "pad": pad,
    "gather": lambda n, x: x.index_select(n["axis"], torch.tensor(n["index"])),
    "scatter_add": scatter_add,
}


class ResidualMlp(torch.nn.Module):
    """levda's nn::ResidualMlp of PyTorch's layers."""

    def __init__(self, extent_in, width, depth, extent_out, dtype):
        super().__init__()
        extents = [extent_in] + [width] * depth
        self.hidden = torch.nn.ModuleList(torch.nn.Linear(i, width, dtype=dtype) for i in extents[:-1])
        self.output = torch.nn.Linear(width, extent_out, dtype=dtype)

    def forward(self, x):
        h = F.silu(self.hidden[0](x))
        for layer in self.hidden[1:]:
            h = h + F.silu(layer(h))
        return self.output(h)


def call(module, weights, *x):
    """A module at weights in levda's order and layout: its matrices are the transposes of PyTorch's."""
    names = [name for name, _ in module.named_parameters()]
    assert len(names) == len(weights)
    return torch.func.functional_call(module, {k: w.t() if w.dim() == 2 else w for k, w in zip(names, weights)}, x)


def linear_layer(n, w, b, x):
    return call(torch.nn.Linear(*w.shape, dtype=w.dtype), [w, b], x)


def residual_mlp(n, *inputs):
    weights, x = inputs[:-1], inputs[-1]
    return call(ResidualMlp(*weights[0].shape, n["depth"], weights[-1].shape[0], x.dtype), weights, x)


def fourier_features(n, frequencies, x):
    q = (2 * math.pi * x) @ frequencies.t()
    return torch.cat([torch.sin(q), torch.cos(q)], -1)


def lstm(n, w, u, b, x, *state):
    # PyTorch's second bias is 0 here: levda has the sum of the two.
    layer = torch.nn.LSTM(w.shape[0], u.shape[0], dtype=x.dtype)
    first = (tuple(s.unsqueeze(0) for s in state),) if n["state"] else ()
    h, (_, c) = call(layer, [w, u, b, torch.zeros_like(b)], x, *first)
    return torch.cat([h, c])


def ldnet_parts(n, inputs):
    """Its two networks and features as functions, and what follows the weights."""
    middle = 2 * (n["dynamics_depth"] + 1)
    end = middle + 1 + 2 * (n["decoder_depth"] + 1)
    return (lambda x: residual_mlp({"depth": n["dynamics_depth"]}, *inputs[:middle], x),
            lambda x: fourier_features({}, inputs[middle], x),
            lambda x: residual_mlp({"depth": n["decoder_depth"]}, *inputs[middle + 1:end], x),
            inputs[end:])


def ldnet(n, *inputs):
    rate, features, decoder, (u, s, x) = ldnet_parts(n, inputs)
    states = []
    for _ in range(n["steps"]):
        s = s + n["latent_dt"] * rate(torch.cat([u, s], -1))
        states.append(s)
    s = torch.cat(states).unsqueeze(1).expand(-1, x.shape[0], -1)
    return decoder(torch.cat([features(x).expand(s.shape[0], -1, -1), s], -1))


def decoding_error(n, *inputs):
    _, features, decoder, (s, x, y) = ldnet_parts(n, inputs)
    return F.mse_loss(decoder(torch.cat([features(x), s.unsqueeze(1).expand(-1, x.shape[1], -1)], -1)), y)


LAYERS = {
    "layer.Linear": linear_layer,
    "layer.ResidualMlp": residual_mlp,
    "layer.FourierFeatures": fourier_features,
    "layer.Lstm": lstm,
    "layer.Ldnet": ldnet,
    "layer.decoding_error": decoding_error,
}


def apply(node, operands):
    return {**OPERATIONS, **LAYERS}[node["op"]](node, *operands)


def evaluated(case, inputs):
    values = list(inputs)
    for node in case["nodes"]:
        values.append(apply(node, [values[i] for i in node["in"]]))
    return values[-1]


def tensor(numbers, shape, dtype):
    return torch.tensor(numbers, dtype=dtype).reshape(shape)


def numbers(x):
    return x.detach().double().clone().reshape(-1).tolist()  # cloned: a zero of autograd may have no storage


def is_variable(spec):
    return not spec.get("constant", False)


def cotangents(y, x, w, **options):
    """J' w; zeros where y is constant."""
    found = [None] * len(x)
    if y.requires_grad:
        found = torch.autograd.grad(y, x, w, allow_unused=True, **options)
    return [torch.zeros_like(a) if g is None else g for g, a in zip(found, x)]


def derivatives(case, draw, dtype):
    inputs = [tensor(v, s["shape"], dtype) for v, s in zip(draw["inputs"], case["inputs"])]
    x = [i.requires_grad_() for i, s in zip(inputs, case["inputs"]) if is_variable(s)]
    v = [tensor(t, a.shape, dtype) for t, a in zip(case["tangents"], x)]
    y = evaluated(case, inputs)
    w = tensor(case["cotangent"], y.shape, dtype)
    gradients = cotangents(y, x, w, create_graph=True)
    products = cotangents(sum(torch.sum(g * t) for g, t in zip(gradients, v)), x, None)
    with forward_ad.dual_level():
        directions = iter(v)
        dual = [forward_ad.make_dual(i.detach(), next(directions)) if is_variable(s) else i
                for i, s in zip(inputs, case["inputs"])]
        tangent = forward_ad.unpack_dual(evaluated(case, dual)).tangent
    answer = {"shape": list(y.shape), "value": numbers(y),
              "jvp": numbers(torch.zeros_like(y) if tangent is None else tangent)}
    for i in range(len(x)):
        answer[f"vjp {i}"] = numbers(gradients[i])
        answer[f"hvp {i}"] = numbers(products[i])
    return answer


def trained(case, draw, dtype):
    t = case["training"]
    inputs = [tensor(v, s["shape"], dtype) for v, s in zip(draw["inputs"], case["inputs"])]
    x = [i.requires_grad_() for i, s in zip(inputs, case["inputs"]) if is_variable(s)]
    # With decay AdamW: Adam's own would go through the moments.
    optimiser = (torch.optim.AdamW if t["weight_decay"] else torch.optim.Adam)(
        x, lr=t["rate"], betas=(t["beta1"], t["beta2"]), eps=t["epsilon"], weight_decay=t["weight_decay"])
    s = t["schedule"]
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimiser, s["every"], s["gamma"]),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, t["steps"] - 1, t["rate"] * s["final"]),
    }[s["type"]]()
    losses = []
    for _ in range(t["steps"]):
        optimiser.zero_grad()
        loss = evaluated(case, inputs)
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
        scheduler.step()
    return {"shape": [], "value": losses, **{f"parameter {i}": numbers(p) for i, p in enumerate(x)}}


def answer(case, draw, dtype):
    return (trained if "training" in case else derivatives)(case, draw, dtype)
