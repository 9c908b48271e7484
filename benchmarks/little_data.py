"""A critic from a few rollouts of a policy that is there already, of which is known only which ones succeeded.

    python benchmarks/little_data.py play --env cube-single-play-singletask-task2-v0 --base RUN --out runs/little
    python benchmarks/little_data.py table --env cube-single-play-singletask-task2-v0 --out runs/little

`play` lets the cloned policy of a run act until it has succeeded, and failed, a hundred times, in episodes that are
played nowhere else; trains critics on 10, 30 and 100 of either kind, by one label each, with the run's flow as it is;
and plays its best of 4 and guides it at the default strength (by critics with decay in the robust unit), on the
held-out episodes of the run's training seed. Nothing is tuned. It goes on where it was stopped; two runs may be played
at once. `table` writes docs/results/little-data/: every row, means with intervals for new training seeds and episodes,
and success against the number of episodes.
"""

from itertools import product
from pathlib import Path

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure

import qgf
from qgf.cli.main import main
from qgf.environments.vector import make_vector_env
from qgf.files import atomic_path, write_table, write_text
from qgf.method.policy import act_jit
from qgf.pages.plots import colour, save, style
from qgf.pages.tables import markdown
from qgf.playing.episodes import decision_keys, episode_seeds
from qgf.playing.rows import Row
from qgf.playing.scores import read_scores
from qgf.playing.units import to_environment
from qgf.statistics import joint_bootstrap

RESULTS = Path(__file__).parents[1] / "docs/results/little-data"
SIZES, PLAYED, LANES = (10, 30, 100), 100, 16
OPTIONS = ["--steps", "5000", "--checkpoint-every", "5000", "--width", "256"]
STREAM = 31
"""Of the episodes that are learned from."""
CRITICS = {
    "iql": ["--rewards", "until-success"],
    "iql, weight decay": ["--rewards", "until-success", "--weight-decay", "3"],
    "mc": ["--rewards", "success-to-go", "--critic", "mc"],
    "mc, weight decay": ["--rewards", "success-to-go", "--critic", "mc", "--weight-decay", "3"],
}
WAYS = {
    "none": ["--guide", "none", "--best-of", "1"],
    "best-of-4": ["--guide", "none", "--best-of", "4"],
    "qgf": ["--guide", "qgf", "--best-of", "1", "--strength", "1"],
}


def play(env: str, base: Path, out: Path) -> None:
    seed = qgf.Run(base).config.seed
    pool = out / f"seed{seed}" / "pool.npz"
    if not pool.exists():
        pool.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(pool) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **rollouts(qgf.Run(base).policy().guided("none"), env, seed))
    for size in SIZES:
        data, labels = chosen(pool, size)
        for name, options in CRITICS.items():
            run = place(pool.parent, size, name)
            options = [*OPTIONS, "--seed", str(seed), *options]
            main(["train", str(data), "--labels", str(labels), "--flow", str(base), "--out", str(run), *options])
            played = [way_of(row) for row in read_scores(run / "evaluation.csv")]
            for way, how in WAYS.items():
                wanted = way != "none" or (size == SIZES[0] and name == "iql")  # of all critics the same
                robust = ["--robust"] if way == "qgf" and "decay" in name else []
                if wanted and way not in played:
                    main(["evaluate", str(run), "--env", env, "--episodes", str(PLAYED), *how, *robust])


def way_of(row: Row) -> str:
    return "best-of-4" if row.best_of > 1 else row.guide


def place(folder: Path, size: int, critic: str) -> Path:
    return folder / f"{size} {critic}".replace(", ", "-").replace(" ", "-")


def rollouts(policy, env: str, seed: int) -> dict[str, np.ndarray]:
    """Episodes of the policy until as many as the largest size have succeeded, and failed: observations, actions and
    ends row by row, the last of each episode with its final state alone, and each episode's success.
    """
    envs = make_vector_env(env, 1, LANES)  # chunks of one action: every state is seen
    played = to_environment(policy, envs.single_action_space, env)
    key, episodes, success = jax.random.fold_in(jax.random.key(STREAM), seed), [], []
    try:
        while min(sum(success), len(success) - sum(success)) < max(SIZES):
            first, won, over = len(success), np.zeros(LANES, bool), np.zeros(LANES, bool)
            lengths, rows, step = np.zeros(LANES, int), [], 0
            seeds = episode_seeds(STREAM, first + LANES, (seed,))[first:]
            obs, _ = envs.reset(seed=seeds, options=dict(reset_mask=np.ones(LANES, bool)))
            while not over.all():  # what is over stands still
                if step % policy.horizon == 0:
                    numbers = np.stack([first + np.arange(LANES), np.full(LANES, step // policy.horizon)])
                    chunk = np.asarray(act_jit(policy, obs, decision_keys(key, numbers))[0])
                actions = chunk[:, step % policy.horizon]
                rows.append((obs.copy(), actions))
                obs, _, terminated, truncated, infos = envs.step(played(actions)[:, None])
                won |= infos["success"].astype(bool)
                lengths += ~over
                over |= terminated | truncated
                step += 1
            rows.append((obs.copy(), np.zeros_like(actions)))
            for lane, length in enumerate(lengths):
                whole = [np.stack([row[part][lane] for row in rows[: length + 1]]) for part in (0, 1)]
                episodes.append(
                    dict(observations=whole[0], actions=whole[1], terminals=np.arange(length + 1) == length)
                )
            success += list(won)
            print(f"{sum(success)} of {len(success)} episodes succeeded", flush=True)
    finally:
        envs.close()
    arrays = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    return arrays | dict(success=np.array(success))


def chosen(pool: Path, size: int) -> tuple[Path, Path]:
    """The first `size` episodes of the pool that succeeded and the first that failed, and a file with their labels."""
    with np.load(pool) as arrays:
        success, ends = arrays["success"], np.flatnonzero(arrays["terminals"]) + 1
        taken = np.sort(np.concatenate([np.flatnonzero(success == won)[:size] for won in (True, False)]))
        rows = np.concatenate([np.arange(ends[k - 1] if k else 0, ends[k]) for k in taken])
        arrays = {name: arrays[name][rows] for name in ("observations", "actions", "terminals")}
    path, labels = pool.parent / f"rollouts-{size}.npz", pool.parent / f"rollouts-{size}.csv"
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    write_text(labels, "".join(f"{won:d}\n" for won in success[taken]))
    return path, labels


def table(env: str, out: Path) -> None:
    won: dict[tuple[str, str, int], dict[int, np.ndarray]] = {}
    rows = []
    for folder in sorted(out.glob("seed*")):
        seed = int(folder.name.removeprefix("seed"))
        for critic, size in product(CRITICS, SIZES):
            for row in read_scores(place(folder, size, critic) / "evaluation.csv"):
                way = way_of(row)
                key = (way, "", 0) if way == "none" else (way, critic, size)
                won.setdefault(key, {})[seed] = row.won
                rows.append(dict(way=way, critic=key[1], episodes=2 * key[2], seed=seed, outcomes=row.outcomes))
    scores = {key: np.stack([seeds[k] for k in sorted(seeds)])[:, None].astype(float) for key, seeds in won.items()}
    shown = {key: (x.mean(), *joint_bootstrap(x)) for key, x in scores.items()}
    seeds = len(next(iter(won.values())))
    lines = [
        dict(way=way, critic=critic) | cells({n: shown[way, critic, n] for n in SIZES})
        for way, critic in dict.fromkeys(key[:2] for key in shown if key[2])
    ]
    lines.insert(0, dict(way="none", critic="") | cells(dict.fromkeys(SIZES, shown["none", "", 0])))
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_table(RESULTS / "episodes.csv", rows)
    write_text(RESULTS / "little-data.md", markdown(lines))
    with style():
        figure = drawn(shown, f"{env}, training seeds: {seeds}, held-out episodes of each: {PLAYED}")
        save(figure, RESULTS / "little-data.png")


def cells(found: dict) -> dict[str, float]:
    """The columns of a mean and its interval in percent, as `markdown` takes them, for each size."""
    ends = {f"{2 * n} episodes": x for n, x in found.items()}
    return {
        name + end: 100 * x for name, three in ends.items() for end, x in zip(("", "_low", "_high"), three, strict=True)
    }


def drawn(shown: dict, title: str) -> Figure:
    """Success against the number of episodes, a panel for each way of using a critic, a line for each critic."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for ax, way in zip(panels, ("best-of-4", "qgf"), strict=True):
        mean, low, high = (100 * x for x in shown["none", "", 0])
        ax.axhline(mean, color=colour("none"), ls=":", lw=1.6, label="the policy alone")
        ax.axhspan(low, high, color=colour("none"), alpha=0.12, lw=0)
        for k, critic in enumerate(CRITICS):
            mean, low, high = (100 * np.array([shown[way, critic, n][part] for n in SIZES]) for part in range(3))
            x = 2 * np.array(SIZES) * 1.04 ** (k - 1.5)  # beside one another
            ax.errorbar(x, mean, [mean - low, high - mean], marker="osD^v"[k], lw=1.6, elinewidth=0.8, label=critic)
        ax.set(xscale="log", title=way, xlabel="labelled episodes, half of them successes", ylim=(-3, 103))
        ax.set_xticks(2 * np.array(SIZES), [str(2 * n) for n in SIZES], minor=False)
        ax.minorticks_off()
        ax.grid(True)
    panels[0].set_ylabel("success, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(dict(play=play, table=table))
