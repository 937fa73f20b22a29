"""The cases of nn's and models' layers and of Adam, in the format of graph.h."""

import random

from expressions import DRAWS, numbers, spread


def case(name, node, inputs, result_shape):
    """inputs: (shape, deviation of its normal numbers, constant), in the order of the node."""
    rng = random.Random(name)
    values = [numbers(rng, shape, deviation) for shape, deviation, _ in inputs]
    draws = [[v] * DRAWS if constant else spread(rng, v) for v, (_, _, constant) in zip(values, inputs)]
    return {"name": name,
            "inputs": [{"shape": shape, **({"constant": True} if constant else {})} for shape, _, constant in inputs],
            "nodes": [{**node, "in": list(range(len(inputs)))}],
            "draws": [{"inputs": [d[k] for d in draws]} for k in range(DRAWS)],
            "tangents": [numbers(rng, shape) for shape, _, constant in inputs if not constant],
            "cotangent": numbers(rng, result_shape)}


def variable(*shape, deviation=1.0):
    return list(shape), deviation, False


def constant(*shape, deviation=1.0):
    return list(shape), deviation, True


def linear(extent_in, extent_out):
    return [variable(extent_in, extent_out, deviation=0.5), variable(extent_out, deviation=0.5)]


def mlp(extent_in, width, depth, extent_out):
    weights = linear(extent_in, width)
    for _ in range(depth - 1):
        weights += linear(width, width)
    return weights + linear(width, extent_out)


def lstm(extent_in, hidden):
    return [variable(extent_in, 4 * hidden, deviation=0.5), variable(hidden, 4 * hidden, deviation=0.5),
            variable(4 * hidden, deviation=0.5)]


NET = {"latent": 2, "parameters": 1, "channels": 2, "coordinates": 2, "fourier_features": 2, "latent_dt": 0.08,
       "dynamics_depth": 2, "dynamics_width": 3, "decoder_depth": 2, "decoder_width": 3}
DYNAMICS = mlp(3, 3, 2, 2)
DECODER = [constant(2, 2, deviation=0.5)] + mlp(6, 3, 2, 2)


def layers():
    return [
        case("Linear", {"op": "layer.Linear"}, linear(3, 4) + [variable(5, 3)], [5, 4]),
        case("Linear on three axes", {"op": "layer.Linear"}, linear(3, 2) + [variable(2, 3, 3)], [2, 3, 2]),
        case("ResidualMlp", {"op": "layer.ResidualMlp", "depth": 3}, mlp(2, 4, 3, 3) + [variable(4, 2)], [4, 3]),
        case("FourierFeatures", {"op": "layer.FourierFeatures"}, [constant(3, 2, deviation=0.5), variable(4, 2)],
             [4, 6]),
        case("Lstm", {"op": "layer.Lstm", "state": False}, lstm(3, 4) + [variable(5, 2, 3)], [6, 2, 4]),
        case("Lstm from a state", {"op": "layer.Lstm", "state": True},
             lstm(2, 3) + [variable(3, 2, 2), variable(2, 3, deviation=0.5), variable(2, 3)], [4, 2, 3]),
        case("Ldnet", {"op": "layer.Ldnet", **NET, "steps": 4},
             DYNAMICS + DECODER + [variable(2, 1), variable(2, 2), variable(3, 2)], [8, 3, 2]),
        case("decoding_error", {"op": "layer.decoding_error", **NET, "tile": 2},
             [constant(*shape) for shape, _, _ in DYNAMICS] + DECODER
             + [variable(3, 2), variable(3, 2, 2), variable(3, 2, 2)], []),
    ]


def training(name, **settings):
    """A small network that learns numbers."""
    weights = mlp(2, 4, 2, 2)
    result = case(name, {"op": "layer.ResidualMlp", "depth": 2}, weights + [constant(8, 2)], [8, 2])
    extra = case(name + " target", {"op": ""}, [constant(8, 2)], [])
    target = len(result["inputs"])
    result["inputs"] += extra["inputs"]
    for draw, more in zip(result["draws"], extra["draws"]):
        draw["inputs"] += more["inputs"]
    result["nodes"] += [{"op": "sub", "in": [target + 1, target]}, {"op": "square", "in": [target + 2]},
                        {"op": "mean", "in": [target + 3]}]
    del result["tangents"], result["cotangent"]
    return {**result, "training": {"steps": 50, "rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
                                   "weight_decay": 0.0, "schedule": {"type": "constant"}, **settings}}


def trainings():
    return [
        training("Adam"),
        # An epsilon that is felt: were it inside the root, it would show.
        training("Adam, large epsilon", epsilon=0.01, beta1=0.8, beta2=0.95),
        training("Adam, StepSchedule", schedule={"type": "step", "every": 20, "gamma": 0.5}),
        training("AdamW, CosineSchedule", weight_decay=0.1, schedule={"type": "cosine", "final": 0.1}),
    ]
