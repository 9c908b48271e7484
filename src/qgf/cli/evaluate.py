"""`qgf evaluate`: Play episodes with every combination of guide, strength and best-of."""

from itertools import product
from math import isnan
from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.acting import Metric, Solver
from qgf.cli.printing import bar, closing, console, print_table
from qgf.errors import UserError


def evaluate(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = ("none", "qgf"),
    strength: tuple[float, ...] = (),
    weight: tuple[float, ...] = (),
    best_of: tuple[int, ...] = (),
    schedule: tuple[str, ...] = ("constant",),
    members: tuple[str, ...] = ("own",),
    choose: tuple[str, ...] = ("own",),
    robust: bool = False,
    fallback: tuple[str, ...] = ("none",),
    cap_step: Optional[float] = None,
    cap_dim: Optional[float] = None,
    metric: tuple[Metric, ...] = ("none",),
    guided_dims: tuple[int, ...] = (),
    steps: Optional[int] = None,
    solver: Solver = None,
    guide_steps: tuple[int, ...] = (),
    execute: tuple[int, ...] = (),
    warm: Optional[float] = None,
    episodes: int = 50,
    seed: int = 0,
    env: Optional[str] = None,
    success: str = "",
    obs_keys: tuple[str, ...] = (),
    video: bool = False,
):
    """Play episodes with every combination of guide, strength and best-of, on the same seeds; print and write a table.

    Args:
        run: The run's directory.
        guide: Guides to play, "none" being the policy as it was trained; `qgf names guide` lists them. A control goes
            around any other guide, as in placebo:ood, and "all" stands for all that the run has the networks for.
        strength: How hard to push, in standard deviations of the reference policy's actions (default 0.5).
        weight: The paper's raw weights, instead of strengths.
        best_of: Take the best of this many guided samples at each decision, by default the training method's own
            number, which is 1 for most.
        schedule: How the weight changes over the denoising time; `qgf names schedule` lists the ways.
        members: How the critic's ensemble is asked for guidance: mean, min, lcb (mean - std / 2), the number of one, or
            own, as the critic does by itself.
        choose: The same for the best of several samples; others are the members that do not guide.
        robust: The unit of strength takes the largest tenth of the gradients for its least, so that a few steep states
            do not set it.
        fallback: When the unguided action from the same noise is taken instead: unguided, where the guided one is not
            finite; capped, also where guidance moved it too far; judged, also where members that do not guide see no
            gain (give --members 0); none, never. `qgf names fallback` lists them.
        cap_step: Guidance never adds more than so many times the flow's own velocity in a step.
        cap_dim: Guidance pushes no number of an action by more than so many standard deviations.
        metric: sigma pushes each number of a chunk in proportion to its variance; none, all alike.
        guided_dims: The numbers of an action that are guided, counted from 0, by default all; the others stay as they
            were cloned.
        steps: Number of denoising steps, by default the training method's own, 10 for most.
        solver: How a denoising step is taken: euler, or midpoint, twice the work of a step for an error that falls with
            the square of their number.
        guide_steps: How often the guide is asked on the way, by default at every step; in between its last direction
            holds.
        execute: Numbers of actions of each chunk that are played before the policy is asked again, by default all.
        warm: With --execute, the denoising time (0 is noise, 1 an action) at which a chunk starts from what is left of
            the last one.
        episodes: Number of episodes of each arm, spread evenly over the environment's five goals if the run has goals.
        seed: Seed of the episodes, which are the same for every arm.
        env: The environment to play, if not the one that the run was trained for.
        success: What success is, if the environment does not say: a key of info, or what one or the return has to
            reach, as in "return>=-200". Without any, arms are compared by their return.
        obs_keys: What policies see of observations that are dictionaries, by default what the run's data were told.
        video: Also write a film of the first three episodes of each arm.
    """
    from qgf.environments.datasets import references_of
    from qgf.playing.arm import arms
    from qgf.playing.doubts import doubts
    from qgf.training.run import Run

    guides = possible_guides(Run(run)) if guide == ("all",) else guide
    best_of = best_of or (Run(run).config.method.best_of,)
    asked = (members, choose, robust, fallback, cap_step, cap_dim)
    pace = (solver, guide_steps or (None,), metric, guided_dims)
    chosen = arms(guides, strength, weight, best_of, steps, schedule, execute or (None,), *asked, warm, *pace)
    if video and warm:
        raise UserError("a film shows chunks that start from noise: leave --warm or --video out")
    scores = play_arms(Run(run), chosen, episodes, seed, env, video, success, obs_keys)
    print_scores(scores, references_of(Run(run).record, scores[0].env))
    for note in doubts(Run(run)):
        console.print(f"doubt: {note}")
    closing(f"wrote {run / 'evaluation.csv'}", "report", run)


def possible_guides(run):
    """Every guide that the run has the networks for; says which it has not."""
    from qgf.method.guides import GUIDES
    from qgf.playing.arm import possible

    lacks = possible(run.policy(), sorted(GUIDES, key=list(GUIDES).index))
    for guide, reason in lacks.items():
        if reason:
            console.print(f"without {guide}: {reason}")
    return [guide for guide, reason in lacks.items() if not reason]


def play_arms(run, chosen, episodes=50, seed=0, env=None, video=False, rule="", keys=()):
    from qgf.environments import family_of
    from qgf.files import stays_inside, turn
    from qgf.playing.evaluate import evaluate_run, share_of
    from qgf.playing.measure import solved
    from qgf.playing.scores import write_scores

    env, keys = played_environment(run, env), keys or seen_keys(run)
    stays_inside(run.directory)
    family = family_of(env)
    tasks = family.tasks(env)
    share, scores = share_of(episodes, tasks), []
    for task in tasks:
        where = _where(task) if len(tasks) > 1 else ""
        with bar("evaluating", "episodes") as tell:

            def progress(arm, policy_seed, where=where, tell=tell):
                return lambda done, wins, total: tell(done, total, solved(wins), name=arm.label + where)

            scores += evaluate_run(run, chosen, task, share, seed, progress, rule, keys)
    with turn(run.directory):  # others may have added theirs meanwhile
        write_scores(run.directory / "evaluation.csv", scores)
        for task in tasks:
            name = "walks.npz" if len(tasks) == 1 else f"walks-{family.goal(task).replace(' ', '')}.npz"
            _save_walks(run.directory / name, [s for s in scores if s.env == task], task)
    if video:
        from qgf.playing.film import film

        for task, arm in product(tasks, chosen):
            name = (arm.label + (_where(task) if len(tasks) > 1 else "")).replace(" ", "-")
            path = run.directory / "videos" / name.replace("=", "").replace(",", "")
            how = dict(seed=seed, execute=arm.execute, keys=keys, training_seed=run.config.seed)
            console.print(f"wrote {film(arm.of(run.policy()), task, path, **how)}")
    return scores


def _where(env):
    """ ", task 3" of the name of one goal's environment."""
    from qgf.environments import family_of

    return f", {family_of(env).goal(env)}"


def environment_of(run):
    """The environment that a run was trained for, None if all that is known of it is a file of data."""
    from qgf.environments import datasets

    record = run.record
    return record.get("env") or datasets.environment_of(record["dataset"])


def seen_keys(run):
    """What the run's observations were made of, where that was chosen."""
    return tuple((run.record.get("data") or {}).get("keys") or ())


def played_environment(run, env):
    """The environment that is asked for, else the run's own."""
    from qgf.environments.family import named_by

    if found := env or environment_of(run):
        return env or named_by(run.directory, found)
    raise UserError(
        f"{run.directory} was trained on {run.record['dataset']}; say which environment to play with --env NAME"
    )


def _save_walks(path, scores, env, keep=25):
    """The walks of the first seed's policy, for the report's picture of the maze."""
    from qgf.environments.family import maze_of
    from qgf.environments.maze import Walks

    maze = maze_of(env)
    if maze is not None:
        first = {s.arm.label: s for s in scores if s.policy_seed == 0}
        paths = {label: s.paths[:keep] for label, s in first.items()}
        success = {label: s.success[:keep] for label, s in first.items()}
        Walks(maze, scores[0].updates, paths, success).save(path)


def print_scores(scores, references=None):
    from qgf.environments import family_of
    from qgf.playing.measure import UNKNOWN, normalised, number, span

    several, tasks = len({s.policy_seed for s in scores}) > 1, list(dict.fromkeys(s.env for s in scores))
    played = tasks[0] if len(tasks) == 1 else family_of(tasks[0]).trained(tasks[0])
    rows, measure = [], scores[0].measure
    shown = scores if len(tasks) == 1 else list(_with_means(scores, played))
    for s in shown:
        where = "" if len(tasks) == 1 else ", mean" if s.env == played else _where(s.env)
        label = f"{s.arm.label}{where}, seed {s.policy_seed}" if several else s.arm.label + where
        numbers = (f"{x:.2f}" for x in (s.value.mean(), s.ratio.mean(), s.decision_ms, 1e3 * s.gflop))
        agree = UNKNOWN if isnan(s.agreement) else f"{s.agreement:.2f}"
        other = f"{s.returns.mean():.1f}" if measure == "success" else UNKNOWN
        score = [f"{normalised(s.returns.mean(), references):.1f}"] if references else []
        rows.append(
            [label, number(s.scores.mean(), measure), span(s.interval, measure), other, *score, agree, *numbers]
        )
    more = ["return" if measure == "success" else "success", *(["normalised"] if references else [])]
    print_table(("arm", measure, "95 % interval", *more, "agreement", "mean Q", "|wg|/|v|", "ms/call", "MFLOP"), rows)
    print_done([(row[0], s) for row, s in zip(rows, shown, strict=True)])
    per = "arm" if len(tasks) == 1 else "arm and goal"
    console.print(f"{scores[0].episodes} episodes per {per}, seed {scores[0].seed}, {played}")
    if measure == "return":
        console.print("nothing says whether the task is solved, so arms are compared by their return (--success says)")
    skipped = sum(int(s.skipped.sum()) for s in scores)
    if skipped:
        console.print(f"{skipped} denoising steps went unguided because the critic's gradient was not finite")


def print_done(scores):
    """What guidance did to the actions of every arm, (label, score or cost), which guided."""
    from qgf.playing.measure import amount, share

    known = [(label, s) for label, s in scores if amount(s.displacement) and s.nats]
    rows = [[label, amount(s.displacement), amount(s.nats), amount(s.jerk), share(s.fallbacks)] for label, s in known]
    if rows:
        head = ("what guidance did", "moved, sigma_a", "path, nats", "jerk", "fell back")
        fallbacks = any(row[-1] for row in rows)
        print_table(head if fallbacks else head[:-1], [row if fallbacks else row[:-1] for row in rows])


def _with_means(scores, env):
    """The scores of several tasks, arm by arm, each arm's followed by all its episodes as one."""
    from qgf.playing.scores import pooled

    for arm, policy_seed in dict.fromkeys((s.arm, s.policy_seed) for s in scores):
        mine = [s for s in scores if (s.arm, s.policy_seed) == (arm, policy_seed)]
        yield from mine
        yield pooled(mine, env)
