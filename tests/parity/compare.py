"""Compares levda with PyTorch: values, J' w, J v and Hessian products of random expressions and of every layer, and
training by Adam. See run.sh, which makes the environment; the format of a case is in graph.h.

    compare.py PROGRAM [--store] [--seed N]     PROGRAM: levda_parity
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile

import in_torch
import expressions
import layers

torch = in_torch.torch

SEED = 1
COUNT = 200
LEAST_USES = 3
FLOAT64_TOLERANCE = 1e-12
TRAINING_TOLERANCE = 1e-9
FLOAT32_RATIO = 4
# PyTorch's error in float32 can be 0 by exactness or luck, while a correct result may always be rounded once: at most
# by this, relative to its norm.
ROUNDING = 2.0**-24
# An expression in which PyTorch's own float32 loses more is ill-conditioned: roundings grow a thousandfold in it, and
# FLOAT64_TOLERANCE, which is 9000 roundings of float64, would be a matter of luck.
ILL_CONDITIONED = 1000 * ROUNDING
STORED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stored.json")
STORED_EXPRESSIONS = 24
STORED_BYTES = 300_000


def relative_error(x, truth):
    """||x - truth|| / ||truth||; infinite where a number is missing or NaN, or the truth is 0 and x is not."""
    if x is None or len(x) != len(truth) or any(a is None for a in x):
        return math.inf
    difference = math.sqrt(math.fsum((a - t) ** 2 for a, t in zip(x, truth)))
    if difference == 0:
        return 0.0
    norm = math.sqrt(math.fsum(t * t for t in truth))
    return difference / norm if norm > 0 and difference < math.inf else math.inf


def outputs(answer):
    return [name for name in answer if name != "shape"]


def errors(answers, truths):
    """Of each output the root mean square over the draws."""
    return {name: math.sqrt(math.fsum(relative_error(a.get(name), t[name]) ** 2 for a, t in zip(answers, truths))
                            / len(truths)) for name in outputs(truths[0])}


def is_layer(case):
    """A layer or a training."""
    return case["nodes"][0]["op"].startswith("layer.")


class InTorch:
    """PyTorch's answers of a case in all draws."""

    def __init__(self, case):
        self.float64 = [in_torch.answer(case, draw, torch.float64) for draw in case["draws"]]
        self.float32 = [in_torch.answer(case, draw, torch.float32) for draw in case["draws"]]
        self.float32_error = errors(self.float32, self.float64)


def in_levda(program, cases):
    """The names of its operations, and its answers: case, draw, type."""
    with tempfile.TemporaryDirectory() as folder:
        here, back = os.path.join(folder, "cases.json"), os.path.join(folder, "answers.json")
        with open(here, "w") as file:
            json.dump(cases, file, allow_nan=False)
        subprocess.run([program, here, back], check=True)
        with open(back) as file:
            result = json.load(file)
    return result["operations"], result["answers"]


class Comparison:
    """One case: the worst errors, and what is too much."""

    def __init__(self, case, reference, ours):
        self.case = case
        self.failures = []
        tolerance = TRAINING_TOLERANCE if "training" in case else FLOAT64_TOLERANCE
        truths = reference.float64
        self.float64 = self.ratio = 0.0
        for draw, truth in zip(ours, truths):
            for kind in ("float64", "float32"):
                if draw[kind]["shape"] != truth["shape"] or set(draw[kind]) != set(truth):
                    self.failures.append(f"{kind}: another shape or other outputs")
            for name in outputs(truth):
                error = relative_error(draw["float64"].get(name), truth[name])
                self.float64 = max(self.float64, error)
                if not error <= tolerance:
                    self.failures.append(f"float64 {name}: {error:.2e}")
        for name, error in errors([draw["float32"] for draw in ours], truths).items():
            ratio = error / max(reference.float32_error[name], ROUNDING)
            self.ratio = max(self.ratio, ratio)
            if not ratio <= FLOAT32_RATIO:
                self.failures.append(f"float32 {name}: {error:.2e}, PyTorch's {reference.float32_error[name]:.2e}")

    def rows(self):
        """Where the case counts in the table."""
        return {self.case["name"]} if is_layer(self.case) else {node["op"] for node in self.case["nodes"]}


def print_table(comparisons):
    rows = {}
    for c in comparisons:
        for op in c.rows():
            rows.setdefault(op, []).append(c)
    layer_names = [c.case["name"] for c in comparisons if is_layer(c.case)]
    print(f"\n{'':24}{'cases':>6}{'worst float64 error':>22}{'worst float32 ratio':>22}")
    for op in sorted(set(rows) - set(layer_names)) + layer_names:
        print(f"{op:24}{len(rows[op]):6}{max(c.float64 for c in rows[op]):22.1e}"
              f"{max(c.ratio for c in rows[op]):22.2f}")
    print("Errors are ||levda - PyTorch|| / ||PyTorch|| of the worst of value, J' w, J v and H v; the ratio is that of\n"
          "the float32 errors, levda's to PyTorch's. A case counts for all of its operations.\n")


def covering(cases, count):
    """Some of the cases that have all operations among them: the one with the fewest numbers for each new one."""
    def size(case):
        return len(json.dumps(case["draws"][0])) * (2 + len(case["inputs"])) + len(json.dumps(case["cotangent"]))

    chosen = []
    missing = {node["op"] for case in cases for node in case["nodes"]}
    left = list(cases)
    while len(chosen) < count:
        gain = lambda case: len(missing & {node["op"] for node in case["nodes"]})
        best = max(left, key=lambda case: (gain(case) if missing else len(case["nodes"])) / size(case) ** 0.5)
        left.remove(best)
        chosen.append(best)
        missing -= {node["op"] for node in best["nodes"]}
    if missing:
        raise RuntimeError(f"{count} stored expressions do not have {missing}")
    return sorted(chosen, key=cases.index)


def store(cases, references, seed):
    chosen = covering(cases[:COUNT], STORED_EXPRESSIONS) + [case for case in cases if is_layer(case)]
    provenance = {"made_by": "tests/run.sh --parity --store", "seed": seed, "torch": torch.__version__,
                  "python": platform.python_version(), "machine": platform.machine(),
                  "answer": "PyTorch's in float64",
                  "float32_error": f"PyTorch's own against it, root mean square over {expressions.DRAWS} draws"}
    lines = []
    for case in chosen:
        reference = references[cases.index(case)]
        lines.append(json.dumps({**case, "draws": case["draws"][:1], "answer": reference.float64[0],
                                 "float32_error": {k: float(f"{e:.3e}") for k, e in reference.float32_error.items()}},
                                separators=(",", ":"), allow_nan=False))
    text = f'{{"provenance": {json.dumps(provenance)},\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    if len(text) > STORED_BYTES:
        raise RuntimeError(f"{len(text)} bytes to store")
    with open(STORED, "w") as file:
        file.write(text)
    print(f"{STORED}: {len(chosen)} cases, {len(text)} bytes")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("program")
    arguments.add_argument("--store", action="store_true", help="write PyTorch's answers to the fixed subset")
    arguments.add_argument("--seed", type=int, default=SEED, help="for other expressions than the usual ones")
    arguments = arguments.parse_args()
    print(f"PyTorch {torch.__version__}, Python {platform.python_version()}")

    known = {}

    def accepted(case):
        known[case["name"]] = reference = InTorch(case)
        return max(reference.float32_error.values()) <= ILL_CONDITIONED

    cases, refused = expressions.expressions(arguments.seed, COUNT, accepted)
    print(f"{COUNT} random expressions; {refused} others were ill-conditioned")
    cases += expressions.functions() + layers.layers() + layers.trainings()
    references = [known.get(case["name"]) or InTorch(case) for case in cases]

    operations, answers = in_levda(arguments.program, cases)
    comparisons = [Comparison(*of) for of in zip(cases, references, answers)]
    print_table(comparisons)

    failed = False
    for op in sorted(set(operations) | set(in_torch.OPERATIONS)):
        uses = sum(any(node["op"] == op for node in case["nodes"]) for case in cases[:COUNT])
        if uses < LEAST_USES:
            print(f"FAILED: {op} is in {uses} expressions")
            failed = True
    for c in comparisons:
        if c.failures:
            failed = True
            print(f"FAILED: {c.case['name']} ({', '.join(n['op'] for n in c.case['nodes'])})")
            for failure in c.failures[:8]:
                print(f"    {failure}")
    if failed:
        return 1
    if arguments.store:
        store(cases, references, arguments.seed)
    print(f"{len(cases)} cases agree: float64 to {FLOAT64_TOLERANCE} (training {TRAINING_TOLERANCE}), "
          f"float32 within {FLOAT32_RATIO} times PyTorch's own error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
