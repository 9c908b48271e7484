"""Which measure of a critic tells, without a simulator, how well it guides?

    python benchmarks/measures.py docs/studies/regular-cube-single.toml --out docs/results [--method qgf]

For every run of a study that was played: what `training.validation` measures of its critic on held-out data, the cosine
of its gradient with that of the same settings' other training seeds, the worst of `critic/beyond`, and the success of
one method's arms, all strengths together and the best and worst alone. Writes them to OUT/STUDY/measures.csv, and to
measures.md the rank correlation (Spearman's) of every measure with success over all runs, with its 95 % interval by a
bootstrap that draws settings, then their training seeds, and over the settings' means.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from scipy.stats import rankdata

from qgf.data.folder import data_dir
from qgf.files import read_csv, write_table, write_text
from qgf.laboratory.analysis import some_states
from qgf.laboratory.seeds import alike
from qgf.laboratory.study import read_study
from qgf.laboratory.workshop import Workshop
from qgf.pages.tables import markdown
from qgf.playing.rows import Row
from qgf.training.run import Run
from qgf.training.trained import load_trained
from qgf.training.validation import held_out

DRAWS = 10_000
SUCCESS = ("success", "best", "worst")


@dataclass
class How:
    study: tyro.conf.Positional[Path]
    out: Path = Path("docs/results")
    data_dir: Path | None = None
    method: str = "qgf"


def main(how: How) -> None:
    study = read_study(how.study)
    shop = Workshop(study, how.out, data_dir(how.data_dir), lambda *_: None)
    scores: dict[tuple, dict[float | None, float]] = defaultdict(dict)
    for row in read_csv(how.out / study.name / "results.csv", Row):
        if row.split == "held-out" and row.method.split(",")[0].split(" ")[0] == how.method:
            scores[row.env, row.task, row.train, row.policy_seed][row.strength] = row.success
    lines = []
    for env in study.environments:
        for task in env.tasks:
            evaluate = None
            for train in dict.fromkeys(key[2] for key in scores if key[:2] == (env.name, task)):
                policies = {}
                for seed in env.seeds:
                    job = shop.job(env, task, train, seed)
                    policy = policies[str(seed)] = load_trained(shop.directory(job)).policy()
                    if evaluate is None:
                        dataset = shop.dataset(env, task)
                        evaluate = held_out(dataset, shop.config(job))
                    found = {name: x for name, x in evaluate(policy).items() if name not in ("low", "high")}
                    beyond = Run(shop.directory(job)).metrics().get("critic/beyond", np.zeros(1))
                    got = list(scores[env.name, task, train, seed].values())
                    lines.append(
                        dict(env=env.name, task=task, train=train, seed=seed)
                        | found
                        | dict(beyond=float(np.nanmax(beyond)))
                        | dict(success=float(np.mean(got)), best=max(got), worst=min(got))
                    )
                pairs = (
                    alike(policies, *some_states(dataset, policy.horizon, 512), jax.random.key(0))
                    if len(policies) > 1
                    else []
                )
                for line in lines[-len(policies) :]:
                    own = [pair.cosine for pair in pairs if str(line["seed"]) in (pair.first, pair.second)]
                    line["seeds"] = float(np.mean(own)) if own else np.nan
                print(f"{env.name} task {task}, {train}")
    rounded = [{k: f"{x:.4f}" if isinstance(x, float) else x for k, x in line.items()} for line in lines]
    write_table(how.out / study.name / "measures.csv", rounded)
    write_text(how.out / study.name / "measures.md", markdown(correlations(lines)))


def correlations(lines: list[dict]) -> list[dict[str, str]]:
    """A row for each measure."""
    groups = defaultdict(list)
    for k, line in enumerate(lines):
        groups[line["env"], line["task"], line["train"]].append(k)
    rng, told = np.random.default_rng(0), []
    members = list(groups.values())
    draws = [
        np.concatenate([rng.choice(members[k], len(members[k])) for k in rng.integers(len(members), size=len(members))])
        for _ in range(DRAWS)
    ]
    for name in [name for name in lines[0] if name not in ("env", "task", "train", "seed", *SUCCESS)]:
        x = np.array([line.get(name, np.nan) for line in lines])
        row = dict(measure=name)
        for what in SUCCESS:
            y = np.array([line[what] for line in lines])
            low, high = np.nanquantile([spearman(x[d], y[d]) for d in draws], [0.025, 0.975])
            row[what] = f"{spearman(x, y):+.2f} [{low:+.2f}, {high:+.2f}]"
        told.append(row)
    return told


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """The rank correlation; NaN where one of the two is the same throughout."""
    x, y = (rankdata(z) - (len(z) + 1) / 2 for z in (x, y))
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size else np.nan


if __name__ == "__main__":
    main(tyro.cli(How))
