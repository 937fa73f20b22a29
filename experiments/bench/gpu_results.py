"""Makes the table of RESULTS-GPU.md from the files that gpu.sh left in a folder.

    python3 experiments/bench/gpu_results.py build-gpu/bench >experiments/bench/RESULTS-GPU.md
"""

import json
import pathlib
import sys

CASES = ("T-paper", "K-paper", "A-paper")
PRECISIONS = ("float32", "tf32")


def read_lines(path, separator):
    """The last value of each key."""
    if not path.exists():
        return {}
    pairs = (line.split(separator, 1) for line in path.read_text().splitlines() if separator in line)
    return {key.strip(): value.strip() for key, value in pairs}


def read_all(folder, pattern):
    return [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]


def milliseconds(step):
    parts = step.get("parts", 1)
    return f"{1e3 * step['seconds']:.2f} ms" + (f" in {parts} parts" if parts > 1 else "")


def gigabytes(size):
    return f"{1e-9 * size:.2f} GB"


def row(what, target, ours, other, ratio, met):
    return f"| {what} | {target} | {ours} | {other} | {ratio} | {met} |"


def verdict(met):
    return "met" if met else "**missed**"


def main():
    folder = pathlib.Path(sys.argv[1])
    machine = read_lines(folder / "machine.txt", "=")
    notes = read_lines(folder / "notes.txt", "\t")
    ours, theirs, products = {}, {}, []
    scale = 1
    for file in read_all(folder, "levda-*.json"):
        scale = min(scale, file["scale"])
        products += file["products"]
        for step in file["steps"]:
            ours[step["case"], step["precision"]] = step
    torch = None
    for file in read_all(folder, "torch-*.json"):
        torch = file["program"]
        scale = min(scale, file["scale"])
        for step in file["steps"]:
            theirs[step["case"], step["precision"], step["mode"]] = step

    print("# Measured on a GPU\n")
    print(f"{machine.get('gpu', 'GPU unknown')} ({machine.get('memory', '?')}), driver {machine.get('driver', '?')}, "
          f"nvcc {machine.get('nvcc', '?')}, {torch or 'no PyTorch'}; {machine.get('date', '?')}, by "
          "`experiments/bench/gpu.sh`, which says what each figure is (gpu_bench.cpp, torch_bench.py).\n")
    if scale != 1:
        print(f"**Sizes are scaled by {scale}: to try the programs, no measurement.**\n")
    print("| | target | levda | compared with | ratio | |")
    print("|---|---|---|---|---|---|")

    for precision in PRECISIONS:
        for case in CASES:
            step = ours.get((case, precision))
            for mode, target in (("compiled", 1.5 if case == "T-paper" else 1.0), ("eager", 3.0 if case == "T-paper" else None)):
                if target is None:
                    continue
                what = f"{case} step, {precision}, against PyTorch {mode}"
                other = theirs.get((case, precision, mode))
                if not step or not other:
                    print(row(what, f">= {target:g} x", milliseconds(step) if step else "-",
                              milliseconds(other) if other else "-", "-", "not measured"))
                    continue
                ratio = other["seconds"] / step["seconds"]
                print(row(what, f">= {target:g} x", milliseconds(step), milliseconds(other), f"{ratio:.2f} x",
                          verdict(ratio >= target)))
    for precision in PRECISIONS:
        for case in ("K-paper", "A-paper"):
            step = ours.get((case, precision))
            # The three products of a layer take equal work: the rate of all is their harmonic mean.
            own = [p for p in products if p["case"] == case and p["precision"] == precision]
            what = f"{case} step, {precision}, share of cuBLAS's rate at its products' sizes"
            rates = [p["cublas_flop_per_second"] for p in own if "cublas_flop_per_second" in p]
            if not step or len(rates) != 3:
                print(row(what, ">= 85%", "-", "-", "-", "not measured"))
                continue
            rate = len(rates) / sum(1 / r for r in rates)
            share = step["flop_per_second"] / rate
            print(row(what, ">= 85%", f"{1e-12 * step['flop_per_second']:.1f} TFLOP/s", f"{1e-12 * rate:.1f} TFLOP/s",
                      f"{100 * share:.0f}%", verdict(share >= 0.85)))
    what = "K-paper step, peak memory, against PyTorch's least"
    step = ours.get(("K-paper", "float32"))
    others = [s for s in theirs.values() if s["case"] == "K-paper" and s["precision"] == "float32" and "peak_bytes" in s]
    if step and others:
        whole = [s["peak_bytes"] for s in others if s["parts"] == 1]
        # In parts a step takes less: what the whole one would take is more than there is.
        least = min(whole) if whole else float(machine.get("memory", "inf").split()[0]) * 2**20
        ratio = step["peak_bytes"] / least
        print(row(what, "<= 1/4", gigabytes(step["peak_bytes"]), ("" if whole else "more than the GPU's ") + gigabytes(least),
                  f"{ratio:.2f}", verdict(ratio <= 0.25)))
    else:
        print(row(what, "<= 1/4", gigabytes(step["peak_bytes"]) if step else "-", "-", "-", "not measured"))
    what = "256 truths of T-small, warm, against two threads of the CPU"
    gpu, cpu = (next(iter(read_all(folder, f"truths-{device}.json")), None) for device in ("gpu", "cpu"))
    if gpu and cpu:
        slow = cpu["seconds"] / cpu["truths"] * gpu["truths"]
        ratio = slow / gpu["seconds"]
        # The same truths on both: how far apart the posterior means lie.
        apart = max(abs(a[0] - b[0]) / b[1] for a, b in zip(gpu["posterior"], cpu["posterior"]))
        print(row(what, ">= 20 x", f"{gpu['seconds']:.2f} s", f"{slow:.1f} s, from {cpu['truths']} of them; posterior means "
                  f"at most {apart:.2g} deviations apart", f"{ratio:.1f} x", verdict(ratio >= 20)))
    else:
        print(row(what, ">= 20 x", "-", "-", "-", "not measured"))
    training = read_lines(folder / "training.txt", ":")
    if training:
        print(row("T-paper surrogate, relative RMSE on test trajectories", "0.0168 published", training.get("test_rel_rmse", "?"),
                  "", "", f"after {training.get('train_seconds', '?')} s"))

    if products:
        print("\n| product | precision | levda | cuBLAS | ratio |\n|---|---|---|---|---|")
        for p in products:
            rate, cublas = p["flop_per_second"], p.get("cublas_flop_per_second")
            print(f"| {p['case']} {p['product']}, {p['rows']} x {p['inner']} x {p['columns']} | {p['precision']} "
                  f"| {1e-12 * rate:.1f} TFLOP/s | " + (f"{1e-12 * cublas:.1f} TFLOP/s | {rate / cublas:.2f} |" if cublas else "- | - |"))
    if ours:
        print("\n| step | precision | | time | peak memory | samples |\n|---|---|---|---|---|---|")
        steps = list(ours.values()) + list(theirs.values())
        for s in sorted(steps, key=lambda s: (CASES.index(s["case"]), PRECISIONS.index(s["precision"]), s["mode"])):
            peak = gigabytes(s["peak_bytes"]) if "peak_bytes" in s else "-"
            print(f"| {s['case']} | {s['precision']} | {s['mode']} | {milliseconds(s)} | {peak} | {s['samples']} |")
    if notes:
        print("\n| part | |\n|---|---|")
        for key, value in notes.items():
            print(f"| {key} | {value} |")


if __name__ == "__main__":
    main()
