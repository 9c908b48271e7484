"""`qgf tune`."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Optional

import tyro
from rich.table import Table

from qgf.cli.evaluate import played_environment
from qgf.cli.printing import bar, closing, console
from qgf.errors import UserError


def tune(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = ("qgf",),
    strength: tuple[float, ...] = (),
    weight: tuple[float, ...] = (),
    best_of: tuple[int, ...] = (1,),
    schedule: tuple[str, ...] = ("constant",),
    rungs: tuple[int, ...] = (10, 15, 25),
    episodes: int = 50,
    seed: int = 0,
    tuning_seed: int = 1,
    policy_seed: int = 0,
    env: Optional[str] = None,
    offline: bool = False,
    data_dir: Optional[Path] = None,
):
    """Choose strength, guide and best-of-N on tuning episodes, and report on others beside the controls.

    Args:
        run: Run directory.
        guide: To choose from.
        strength: To choose from; default 0.1 0.25 0.5 1 2 4.
        weight: The paper's raw weights instead.
        best_of: To choose from.
        schedule: To choose from: constant, score, linear.
        rungs: Tuning episodes of each round of successive halving; a third of the arms goes on, at least two.
        episodes: Held-out episodes of the report.
        seed: Of the held-out episodes.
        tuning_seed: Of the tuning episodes.
        policy_seed: Which policy, of a run of several seeds.
        env: Play another environment than the one trained on.
        offline: Choose the strength without an environment, from what two halves of the critics agree on.
        data_dir: Folder of datasets, for --offline; default $QGF_DATA or ~/.ogbench/data.
    """
    from qgf.playing.tune import candidates
    from qgf.training.run import Run

    if offline and weight:
        raise UserError("--offline chooses a strength: leave --weight out")
    arms = candidates(guide, strength, weight, best_of, schedule)
    if offline:
        return _tune_offline(Run(run), arms, policy_seed, data_dir)
    _tune(Run(run), arms, rungs, episodes, seed, tuning_seed, policy_seed, env)
    closing(f"wrote {run / 'tuning'}", f"qgf report {run}")


def _tune(run, arms, rungs, episodes, seed, tuning_seed, policy_seed, env):
    from qgf.files import locked
    from qgf.playing.arm import possible
    from qgf.playing.ledger import Ledger, Player
    from qgf.playing.tune import save
    from qgf.playing.tune import tune as run_tuning
    from qgf.training.trained import load_trained

    folders, folder = run.policy_dirs(), run.directory / "tuning"
    if not 0 <= policy_seed < len(folders):
        raise UserError(f"{run.directory}: no policy of seed {policy_seed}, it has {len(folders)}")
    env, trained = played_environment(run, env), load_trained(folders[policy_seed])
    for name, lack in possible(trained.policy(), dict.fromkeys(arm.guide for arm in arms)).items():
        if lack:
            raise UserError(f"{name}: {lack}")
    with locked(folder), bar("tuning", "episodes") as tell, _environment(env, trained.spec.horizon) as envs:

        def progress(name, done, wins, total):
            tell(done, total, f"{wins} solved", name=name)

        ledger = Ledger(folder / "episodes.csv")
        player = Player(
            trained.policy, env, ledger, envs, policy_seed=policy_seed, updates=trained.updates, progress=progress
        )
        tuned = run_tuning(player, arms, rungs, episodes, seed, tuning_seed)
        save(tuned, folder / "tuned.json")
    _print_tuned(tuned, ledger)


@contextmanager
def _environment(env, horizon):
    """Environment processes that start when they are first asked for."""
    from qgf.environments.ogbench.names import parse_name
    from qgf.environments.vector import make_vector_env

    opened: list = []

    def envs():
        if not opened:
            opened.append(make_vector_env(parse_name(env).env, horizon))
        return opened[0]

    try:
        yield envs
    finally:
        for one in opened:
            one.close()


def _print_tuned(tuned, ledger):
    from qgf.statistics import wilson

    table = Table(box=None, header_style="bold", padding=(0, 1))
    for column in ("tried", "episodes", "success", "ms/call"):
        table.add_column(column, justify="left" if column == "tried" else "right", no_wrap=True)
    cost = {row["arm"]: row["decision_ms"] for row in ledger.costs}
    for arm, x in sorted(tuned.trials.items(), key=lambda item: (-len(item[1]), -item[1].mean())):
        table.add_row(arm.label, str(len(x)), f"{100 * x.mean():.0f} %", cost.get(arm.label, ""))
    console.print(table)
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for column in ("held-out episodes", "arm", "success", "95 % interval", "|wg|/|v|", "p (McNemar)"):
        table.add_column(column, justify="left" if column in ("held-out episodes", "arm") else "right", no_wrap=True)
    for name, (arm, row) in tuned.reports.items():
        wins, episodes = int(row["successes"]), int(row["episodes"])
        low, high = wilson(wins, episodes)
        p = f"{tuned.p[name]:.2g}" if name in tuned.p else ""
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        table.add_row(name, arm.label, f"{100 * wins / episodes:.0f} %", interval, f"{float(row['ratio']):.2f}", p)
    console.print(table)
    for note in tuned.cautions:
        console.print(f"[yellow]caution:[/yellow] {note}")


def _tune_offline(run, arms, policy_seed, data_dir):
    import jax

    from qgf.environments.datasets import load_dataset
    from qgf.laboratory.analysis import some_states
    from qgf.playing.offline import offline as choose

    policy = run.policy(policy_seed)
    states = some_states(load_dataset(run.record["dataset"], data_dir), run.config.horizon, 256)
    for arm in dict.fromkeys(replace(arm, strength=None) for arm in arms):
        strengths = [other.strength for other in arms if replace(other, strength=None) == arm]
        found = choose(policy, states, jax.random.key(run.config.seed), arm, strengths)
        chosen = replace(arm, strength=found.strength)
        table = Table(box=None, header_style="bold", padding=(0, 1), title="gain in Q over the same without guidance")
        for column in ("strength", "by the critics that guide", "confirmed by the others"):
            table.add_column(column, justify="right")
        for strength, claimed, confirmed in zip(found.strengths, found.claimed, found.confirmed, strict=True):
            table.add_row(f"{strength:g}", f"{claimed:.3f}", f"{confirmed:.3f}")
        console.print(table)
        closing(
            f"chosen without an environment: {chosen.label}",
            f"qgf evaluate {run.directory} --guide none {arm.guide} --strength {found.strength:g}"
            f" --best-of {arm.best_of} --schedule {arm.schedule}",
        )
