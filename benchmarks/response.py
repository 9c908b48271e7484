"""How guidance answers to its strength at states of the data, without a simulator: can it be told when to push less?

    python benchmarks/response.py OUT/runs/*-usual-seed1* --data-dir FOLDER [--states 256]

For each run, at as many states of its data: mean |w g| / |v|, displacement in sigma_a and path divergence in nats of
QGF at strengths 0.25 to 2; how the first grows with the strength between 0.5 and 1 (1: in proportion, below: it
saturates); the members' agreement; and E|g| of the guides qgf, ood and jacobian on unguided paths over E|grad Q|, what
the unit of strength would be for each by itself. Writes docs/results/defaults/response.csv, a row per run (rows of
other runs stay), and response.md, means over the runs of an environment.
"""

import argparse
import re
from pathlib import Path

import jax
import numpy as np
from choices import RESULTS, cells
from runs import states_of

import qgf
from qgf.files import write_table, write_text
from qgf.pages.tables import markdown
from qgf.training.run import Run

STRENGTHS = (0.25, 0.5, 1.0, 2.0)


def response(run: Run, states: int, data_dir: Path | None) -> dict[str, object]:
    policy, key = run.policy(), jax.random.key(run.config.seed)
    observations = states_of(run, data_dir, states)
    told: dict[str, object] = dict(run=run.directory.name)
    ratios = {}
    for s in STRENGTHS:
        _, info = policy.guided("qgf", strength=s)(observations, key, info=True)
        ratios[s] = float(np.mean(info.ratio))
        told |= {f"ratio {s:g}": ratios[s], f"displacement {s:g}": float(np.mean(info.displacement))}
        told |= {f"nats {s:g}": float(np.mean(info.nats))}
    told["exponent"] = float(np.log2(ratios[1.0] / ratios[0.5])) if ratios[0.5] > 0 else float("nan")
    told["agreement"] = float(np.mean(info.agreement)) if info.agreement is not None else float("nan")
    scales = policy.calibration
    told["robust unit"] = float(dict(scales.others)["own"][1] / scales.grad_norm)
    for guide in ("qgf", "ood", "jacobian"):
        own = qgf.calibrate(policy.guided(guide, weight=0.0), observations, key, guide=True)
        told[f"unit of {guide}"] = float(own.calibration.grad_norm / scales.grad_norm)
    return {name: x if isinstance(x, str) else f"{x:.4g}" for name, x in told.items()}


def summary(rows: dict[str, dict]) -> list[dict[str, str]]:
    """A line for every environment."""
    groups: dict[str, list[dict]] = {}
    for name in sorted(rows):
        groups.setdefault(re.sub(r"(-task[0-9]+)?-usual-seed[0-9]+$", "", name), []).append(rows[name])
    told = {
        "ratio 1": "push / drift", "exponent": "grows as s^", "displacement 1": "displacement, σ_a", "nats 1": "nats",
        "agreement": "agreement", "robust unit": "robust unit", "unit of qgf": "qgf's own unit",
        "unit of ood": "ood's", "unit of jacobian": "jacobian's",
    }  # fmt: skip
    mean = lambda mine, column: f"{np.mean([float(row[column]) for row in mine]):.2f}"
    return [
        dict(environment=name, runs=str(len(mine))) | {title: mean(mine, column) for column, title in told.items()}
        for name, mine in groups.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--states", type=int, default=256)
    options = parser.parse_args()
    path = RESULTS / "defaults" / "response.csv"
    rows = {row["run"]: row for row in cells(path)}
    for directory in options.runs:
        row = response(Run(directory), options.states, options.data_dir)
        rows[row["run"]] = row
        print(", ".join(f"{name} {x}" for name, x in row.items()), flush=True)
    write_table(path, [rows[name] for name in sorted(rows)])
    write_text(path.with_suffix(".md"), markdown(summary(rows)))


if __name__ == "__main__":
    main()
