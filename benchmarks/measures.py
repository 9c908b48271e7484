"""Which measure of a critic tells, without a simulator, how well it guides?

    python benchmarks/measures.py docs/studies/regular-cube-single.toml --out docs/results [--guide qgf]

For every run of a study that was played: what `training.validation` measures of its critic on held-out data, the
cosine of its gradient with that of the same settings' other training seeds, the last `critic/beyond`, and the success
of one guide at strengths 0.5, 1 and 2 in the usual unit, all together and the best and worst alone. Writes them to
OUT/STUDY/measures.csv, and to measures.md the rank correlation (Spearman's) of every measure with success over all
runs, with its 95 % interval by a bootstrap that draws settings, then their training seeds; nothing where one of the
two is the same throughout. And figures/measures.png, success against each measure that differs from run to run.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure
from scipy.stats import rankdata

from qgf.data.folder import data_dir
from qgf.files import read_csv, write_table, write_text
from qgf.laboratory.analysis import some_states
from qgf.laboratory.seeds import alike
from qgf.laboratory.study import read_study
from qgf.laboratory.workshop import Workshop
from qgf.pages.plots import save, style
from qgf.pages.tables import markdown
from qgf.playing.arm import Arm
from qgf.playing.rows import Row
from qgf.training.run import Run
from qgf.training.trained import load_trained
from qgf.training.validation import held_out

DRAWS = 10_000
RUN = ("env", "task", "train", "seed")
SUCCESS = ("success", "best", "worst")
STRENGTHS = (0.5, 1.0, 2.0)


@dataclass
class How:
    study: tyro.conf.Positional[Path]
    out: Path = Path("docs/results")
    data_dir: Path | None = None
    guide: str = "qgf"


def main(how: How) -> None:
    study = read_study(how.study)
    shop = Workshop(study, how.out, data_dir(how.data_dir), lambda *_: None)
    won: dict[tuple, list[float]] = defaultdict(list)
    for row in read_csv(how.out / study.name / "results.csv", Row):
        if row.split == "held-out" and row.arm in [Arm(how.guide, s) for s in STRENGTHS]:
            assert row.success is not None
            won[row.env, row.task, row.train, row.policy_seed].append(row.success)
    lines = []
    for env, task in [(each, task) for each in study.environments for task in each.tasks]:
        dataset = shop.dataset(env, task)
        for train in dict.fromkeys(key[2] for key in won if key[:2] == (env.name, task)):
            jobs = [shop.job(env, task, train, seed) for seed in env.seeds]
            told = measures(dataset, shop.config(jobs[0]), {str(job.seed): shop.directory(job) for job in jobs})
            for job, line in zip(jobs, told, strict=True):
                got = won[env.name, task, train, job.seed]
                success = dict(success=float(np.mean(got)), best=max(got), worst=min(got))
                lines.append(dict(zip(RUN, (env.name, task, train, job.seed), strict=True)) | line | success)
            print(f"{env.name} task {task}, {train}")
    rounded = [{k: f"{x:.4f}" if isinstance(x, float) else x for k, x in line.items()} for line in lines]
    write_table(how.out / study.name / "measures.csv", rounded)
    write_text(how.out / study.name / "measures.md", markdown(correlations(lines)))
    with style():
        save(drawn(lines), how.out / study.name / "figures/measures.png")


def measures(dataset, config, runs: dict[str, Path]) -> list[dict[str, float]]:
    """Of each training seed's run of one setting."""
    evaluate, policies = held_out(dataset, config), {seed: load_trained(place).policy() for seed, place in runs.items()}
    horizon = next(iter(policies.values())).horizon
    states = some_states(dataset, horizon, 512)
    pairs = alike(policies, *states, jax.random.key(0)) if len(policies) > 1 else []
    lines = []
    for seed, policy in policies.items():
        told = dict(order=np.nan) | evaluate(policy)  # it is told where there are both kinds of episodes
        line = {name: x for name, x in told.items() if name not in ("low", "high")}
        beyond = Run(runs[seed]).metrics().get("critic/beyond", np.zeros(1))
        cosines = [pair.cosine for pair in pairs if seed in (pair.first, pair.second)]
        lines.append(line | dict(beyond=float(beyond[-1]), seeds=float(np.mean(cosines)) if cosines else np.nan))
    return lines


def correlations(lines: list[dict]) -> list[dict[str, str]]:
    """A row for each measure."""
    groups = defaultdict(list)
    for k, line in enumerate(lines):
        groups[line["env"], line["task"], line["train"]].append(k)
    rng, members = np.random.default_rng(0), list(groups.values())
    draw = lambda: [rng.choice(members[k], len(members[k])) for k in rng.integers(len(members), size=len(members))]
    every = [np.arange(len(lines)), *(np.concatenate(draw()) for _ in range(DRAWS))]
    names = [name for name in lines[0] if name not in RUN]
    ranks = {name: [rankdata(np.array([line[name] for line in lines])[one]) for one in every] for name in names}
    told = []
    for name in [name for name in names if name not in SUCCESS]:
        row = dict(measure=name)
        for what in SUCCESS:
            rho = np.array([correlation(x, y) for x, y in zip(ranks[name], ranks[what], strict=True)])
            known = np.isfinite(rho[0])
            low, high = np.nanquantile(rho[1:], [0.025, 0.975]) if known else (np.nan, np.nan)
            row[what] = f"{rho[0]:+.2f} [{low:+.2f}, {high:+.2f}]" if known else ""
        told.append(row)
    return told


def drawn(lines: list[dict]) -> Figure:
    """Success over all strengths against each measure, a point for each run."""
    names = [name for name in lines[0] if name not in (*RUN, *SUCCESS) and len({line[name] for line in lines}) > 2]
    rows = -(-len(names) // 4)
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, 4, sharey=True, squeeze=False).ravel()
    settings = dict.fromkeys((line["env"], line["task"], line["train"]) for line in lines)
    for ax, name in zip(panels, names, strict=False):
        for k, setting in enumerate(settings):
            mine = [line for line in lines if (line["env"], line["task"], line["train"]) == setting]
            x, y = ([line[key] for line in mine] for key in (name, "success"))
            ax.plot(x, 100 * np.array(y), "osD^vPX*"[k % 8], color=f"C{k % 10}", label=setting[2], alpha=0.8)
        ax.set(xlabel=name, ylim=(-3, 103))
        ax.grid(True)
    for ax in panels[::4]:
        ax.set_ylabel("success, %")
    for ax in panels[len(names) :]:
        ax.remove()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; NaN where one of the two is the same throughout."""
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size else np.nan


if __name__ == "__main__":
    main(tyro.cli(How))
