#!/usr/bin/env python3
"""Writes the tables of experiments/RESULTS.md from the results of finished runs.

    experiments/bench/results.py OUT [RESULTS.md]

OUT holds what comparisons.sh leaves there. A table lies between `<!-- name -->` and `<!-- end -->`; it is rewritten when
all of its runs are there, and left alone otherwise, which is said on stderr. Needs Python 3 alone.
"""

import json
import math
import pathlib
import re
import sys

CASES = (("tsunami", "small"), ("kolmogorov", "modes"), ("atmosphere", "small"))
SETUPS = (("8x8", "8 x 8"), ("random16", "16 random"), ("every10", "8 x 8, every 10th frame"))
RIVALS = ("free", "ensf", "fourdenvar", "etkf", "letkf", "ldensf", "latent_etkf", "levda")


class Missing(Exception):
    """A run that a table needs is not there."""


def read(path):
    if not path.exists():
        raise Missing(path)
    return json.loads(path.read_text())


def methods(out, name, experiment="warm"):
    """The methods of a comparison; a method with settings is also found by its plain name where that is unique."""
    found = dict(read(out / name / "compare" / "results.json")["experiments"][experiment]["methods"])
    for key in list(found):
        found.setdefault(key.split(":")[0], found[key])
    return found


def shown(value, digits=4):
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def significant(value):
    return "-" if value is None else f"{value:.3g}"


def with_error(value, error):
    """Four decimals below 0.3, three above; the error has as many."""
    if value is None:
        return "-"
    digits = 4 if value < 0.3 else 3
    return f"{value:.{digits}f}" + (f" +- {error:.{digits}f}" if error is not None else "")


def score(method, key, runs):
    if method.get("failures"):
        return f"failed in {method['failures']} of {runs}"
    return with_error(method.get(key), method.get(key + "_error"))


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def presets(out):
    rows = []
    for case, preset in (("tsunami", "small"), ("kolmogorov", "small"), ("kolmogorov", "modes"), ("atmosphere", "small")):
        results = read(out / f"{case}-{preset}" / "results.json")
        for experiment in ("warm", "cold"):
            for key in ("free", "climatology", "lookup", "levda", "floor"):
                m = results["experiments"][experiment]["methods"][key]
                name = f"**{key}**" if key == "levda" else key
                rows.append([f"{case} {preset}, {experiment}" if key == "free" else "", name, shown(m["rel_rmse"]),
                             shown(max(m["rel_rmse_per_truth"])), shown(m.get("param_error")), shown(m.get("param_z_rms"), 2),
                             shown(m.get("ssr"), 2), shown(m.get("coverage90"), 3), shown(m.get("crps")),
                             shown(m.get("seconds"), 2)])
    return table(["", "", "rel. RMSE", "worst truth", "parameter error", "z", "ssr", "coverage", "CRPS", "s per truth"], rows)


def rivals(out, key, title):
    columns = RIVALS + (("floor",) if key == "rel_rmse" else ())
    rows = []
    for case, preset in CASES:
        for setup, label in SETUPS:
            results = methods(out, f"{case}-{setup}")
            cells = [score(results[m], key, 48) if m in results else "" for m in columns]
            rows.append([f"{case} {preset}" if setup == "8x8" else "", label] + cells)
    return table([title, "sensors"] + [f"**{m}**" if m == "levda" else m for m in columns], rows)


def uncertainty(out):
    rows = []
    for name, prefix in (("tsunami small", "tsunami"), ("Kolmogorov modes", "kolmogorov"),
                         ("atmosphere small", "calibrated"), ("atmosphere small without the factors", "atmosphere")):
        for setup, label in SETUPS:
            m = methods(out, f"{prefix}-{setup}")["levda"]
            rows.append([name if setup == "8x8" else "", label, shown(m["rel_rmse"]), shown(m["param_error"]),
                         shown(m["ssr"], 2), shown(m["coverage90"], 3), shown(m["param_z_rms"], 2)])
    return table(["", "sensors", "relative RMSE", "parameter error", "ssr", "coverage of 90%", "z"], rows)


def fine(out):
    rows = []
    for name, prefix in (("tsunami small", "tsunami"), ("Kolmogorov modes", "kolmogorov"), ("atmosphere small", "atmosphere")):
        all_of = methods(out, f"{prefix}-fine")
        m = all_of["levda"]
        rows.append([name, f"{shown(m['rel_rmse'])} ({shown(all_of['floor']['rel_rmse'])})", with_error(m["param_error"], None),
                     shown(m["ssr"], 2), shown(m["coverage90"], 3), shown(m["param_z_rms"], 1)])
    return table(["", "LEVDA, rel. RMSE (floor)", "parameter error", "ssr", "coverage of 90%", "z"], rows)


def fourdenvar(out):
    rows = []
    for name, run, window in (("tsunami, 64 x 64", "tsunami-4denvar", 5), ("tsunami, 150 x 150", "tsunami-150", 5),
                              ("Kolmogorov modes, 64 x 64", "kolmogorov-4denvar", 4),
                              ("Kolmogorov modes, 150 x 150", "kolmogorov-150", 4)):
        all_of = methods(out, run)
        row = [name]
        for key in ("levda", "fourdenvar", f"fourdenvar:window={window}:shift={window}"):
            row += [score(all_of[key], "rel_rmse", 48), significant(all_of[key]["seconds"])]
        rows.append(row)
    return table(["", "LEVDA, rel. RMSE", "s", "4DEnVar", "s", "in short windows", "s"], rows)


def sweeps(out):
    rows, names = [], ("levda", "latent_etkf:relaxation=0.5", "etkf:relaxation=0.5")
    for quantity in ("members", "window", "sensors", "sigma"):
        results = read(out / "tsunami-sweep" / "sweep" / quantity / "results.json")
        for label, key in (("error", "rel_rmse"), ("s", "seconds")):
            row = [f"{quantity} {', '.join(results['values'])}" if key == "rel_rmse" else "", label]
            for name in names:
                values = [study["experiments"]["warm"]["methods"][name][key] for study in results["studies"]]
                row.append(", ".join(map(significant, values)) + f"; {shown(results['exponents'].get(name, {}).get(key), 2)}")
            rows.append(row)
    return table(["over", ""] + [name.split(":")[0] for name in names], rows)


TABLES = {"presets": presets,
          "rivals-rel_rmse": lambda out: rivals(out, "rel_rmse", "relative RMSE"),
          "rivals-param_error": lambda out: rivals(out, "param_error", "parameter error"),
          "rivals-crps": lambda out: rivals(out, "crps", "CRPS"),
          "uncertainty": uncertainty, "fine": fine, "fourdenvar": fourdenvar, "sweeps": sweeps}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    page = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else pathlib.Path(__file__).parents[1] / "RESULTS.md")
    text = page.read_text()
    for name, make in TABLES.items():
        place = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(\n<!-- end -->)", re.S)
        if not place.search(text):
            sys.exit(f"{page}: <!-- {name} -->: missing")
        try:
            made = make(out)
        except Missing as missing:
            print(f"{name}: left alone, there is no {missing}", file=sys.stderr)
            continue
        text = place.sub(lambda match: match[1] + made + match[2], text)
        print(f"{name}: written", file=sys.stderr)
    page.write_text(text)


if __name__ == "__main__":
    main()
