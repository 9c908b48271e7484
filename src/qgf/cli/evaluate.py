"""`qgf evaluate`."""

from itertools import product
from pathlib import Path
from typing import Optional

import tyro
from rich.table import Table

from qgf.cli.printing import bar, closing, console
from qgf.errors import UserError


def evaluate(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = ("none", "qgf"),
    strength: tuple[float, ...] = (),
    weight: tuple[float, ...] = (),
    best_of: tuple[int, ...] = (),
    schedule: tuple[str, ...] = ("constant",),
    steps: Optional[int] = None,
    episodes: int = 50,
    seed: int = 0,
    env: Optional[str] = None,
    video: bool = False,
):
    """Play episodes with every combination of guide, strength and best-of, on the same seeds; print and write a table.

    Args:
        run: Run directory.
        guide: none, ood, bptt, chain, jacobian, qgf, gradstep, robustq, cfgrl, placebo, zero, gate; a control around
            any guide, placebo:ood; or all that the run can do.
        strength: How hard to push, in standard deviations of the reference policy's actions (default 1).
        weight: The paper's raw weight instead of strength.
        best_of: Keep the best of this many guided samples per decision (default the method's own number, mostly 1).
        schedule: Weight over the denoising time: constant, score, linear.
        steps: Denoising steps, default 10.
        episodes: Per arm; of a run with goals spread evenly over the environment's five.
        seed: Of the episodes; the same for every arm.
        env: Play another environment than the one trained on.
        video: Also write a film of the first three episodes of each arm.
    """
    from qgf.playing.arm import arms
    from qgf.training.run import Run

    guides = possible_guides(Run(run)) if guide == ("all",) else guide
    best_of = best_of or (Run(run).config.method.best_of,)
    chosen = arms(guides, strength, weight, best_of, steps, schedule)
    scores = play_arms(Run(run), chosen, episodes, seed, env, video)
    print_scores(scores)
    closing(f"wrote {run / 'evaluation.csv'}", f"qgf report {run}")


def possible_guides(run):
    """Every guide that the run has the networks for; says which it has not."""
    from qgf.method.guides import GUIDES
    from qgf.playing.arm import possible

    lacks = possible(run.policy(), sorted(GUIDES, key=list(GUIDES).index))
    for guide, reason in lacks.items():
        if reason:
            console.print(f"without {guide}: {reason}")
    return [guide for guide, reason in lacks.items() if not reason]


def play_arms(run, chosen, episodes=50, seed=0, env=None, video=False):
    from qgf.environments.ogbench.names import tasks_of
    from qgf.playing.evaluate import evaluate_run, share_of
    from qgf.playing.scores import write_scores

    env = played_environment(run, env)
    tasks = tasks_of(env)
    share, scores = share_of(episodes, tasks), []
    for task in tasks:
        where = _where(task) if len(tasks) > 1 else ""
        with bar("evaluating", "episodes") as tell:

            def progress(arm, policy_seed, where=where, tell=tell):
                return lambda done, wins, total: tell(done, total, f"{wins} solved", name=arm.label + where)

            scores += evaluate_run(run, chosen, task, share, seed, progress)
    write_scores(run.directory / "evaluation.csv", scores)
    for task in tasks:
        name = "walks.npz" if len(tasks) == 1 else f"walks-{_goal(task)}.npz"
        _save_walks(run.directory / name, [s for s in scores if s.env == task], task)
    if video:
        from qgf.playing.film import film

        for task, arm in product(tasks, chosen):
            name = (arm.label + (_where(task) if len(tasks) > 1 else "")).replace(" ", "-")
            path = run.directory / "videos" / name.replace("=", "").replace(",", "")
            console.print(f"wrote {film(arm.of(run.policy()), task, path, seed=seed)}")
    return scores


def _goal(env):
    """ "task3" of the name of one goal's environment."""
    return env.split("-")[-2]


def _where(env):
    """ ", task 3" likewise."""
    return _goal(env).replace("task", ", task ")


def played_environment(run, env):
    env = env or run.record["dataset"]
    if env.endswith(".npz"):
        raise UserError(f"{run.directory} was trained on {env}; say which environment to play with --env NAME")
    return env


def _save_walks(path, scores, env, keep=25):
    """The walks of the first seed's policy, for the report's picture of the maze."""
    from qgf.environments.maze import Maze, Walks
    from qgf.environments.ogbench.names import parse_name

    maze = Maze.of(parse_name(env).env)
    if maze is not None:
        first = {s.arm.label: s for s in scores if s.policy_seed == 0}
        paths = {label: s.paths[:keep] for label, s in first.items()}
        success = {label: s.success[:keep] for label, s in first.items()}
        Walks(maze, scores[0].updates, paths, success).save(path)


def print_scores(scores):
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for column in ("arm", "success", "95 % interval", "return", "mean Q", "|wg|/|v|", "ms/call", "MFLOP"):
        table.add_column(column, justify="left" if column == "arm" else "right", no_wrap=True)
    several, tasks = len({s.policy_seed for s in scores}) > 1, list(dict.fromkeys(s.env for s in scores))
    played = tasks[0] if len(tasks) == 1 else tasks[0].replace("-task1", "")
    for s in scores if len(tasks) == 1 else _with_means(scores, played):
        low, high = s.interval
        where = "" if len(tasks) == 1 else ", mean" if s.env == played else _where(s.env)
        label = f"{s.arm.label}{where}, seed {s.policy_seed}" if several else s.arm.label + where
        numbers = (f"{x:.2f}" for x in (s.value.mean(), s.ratio.mean(), s.decision_ms, 1e3 * s.gflop))
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        table.add_row(label, f"{100 * s.rate:.0f} %", interval, f"{s.returns.mean():.1f}", *numbers)
    console.print(table)
    per = "arm" if len(tasks) == 1 else "arm and goal"
    console.print(f"{scores[0].episodes} episodes per {per}, seed {scores[0].seed}, {played}")
    skipped = sum(int(s.skipped.sum()) for s in scores)
    if skipped:
        console.print(f"{skipped} denoising steps went unguided because the critic's gradient was not finite")


def _with_means(scores, env):
    """The scores of several tasks, arm by arm, each arm's followed by all its episodes as one."""
    from qgf.playing.scores import pooled

    for arm, policy_seed in dict.fromkeys((s.arm, s.policy_seed) for s in scores):
        mine = [s for s in scores if (s.arm, s.policy_seed) == (arm, policy_seed)]
        yield from mine
        yield pooled(mine, env)
