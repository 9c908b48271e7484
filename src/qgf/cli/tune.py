"""`qgf tune`: Choose a run's strength on other episodes than those it is reported on."""

from dataclasses import replace
from pathlib import Path
from typing import Optional

import tyro
from rich.text import Text

from qgf.cli.acting import Metric, Solver
from qgf.cli.data import Where
from qgf.cli.evaluate import environment_of, played_environment, print_done, seen_keys
from qgf.cli.printing import bar, closing, console, print_table
from qgf.errors import UserError


def tune(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = ("qgf",),
    strength: tuple[float, ...] = (),
    weight: tuple[float, ...] = (),
    best_of: tuple[int, ...] = (1,),
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
    rungs: tuple[int, ...] = (10, 15, 25),
    episodes: int = 50,
    seed: int = 0,
    tuning_seed: int = 1,
    policy_seed: int = 0,
    env: Optional[str] = None,
    success: str = "",
    obs_keys: tuple[str, ...] = (),
    offline: bool = False,
    data_dir: Where = None,
):
    """Choose strength, guide and best-of-N on tuning episodes, and report on others beside the controls.

    Args:
        run: The run's directory.
        guide: The guides to choose from; `qgf names guide` lists them.
        strength: The strengths to choose from, by default 0.1 0.25 0.5 1 2 4.
        weight: The paper's raw weights to choose from, instead of strengths.
        best_of: The numbers of guided samples per decision to choose from.
        schedule: The schedules of the weight to choose from; `qgf names schedule` lists them.
        members: The ways to choose from in which the critic's ensemble is asked for guidance: mean, min, lcb
            (mean - std / 2), the number of one, or own, as the critic does by itself.
        choose: The same for the best of several samples; others are the members that do not guide.
        robust: The unit of strength takes the largest tenth of the gradients for its least, so that a few steep states
            do not set it.
        fallback: When the unguided action from the same noise is taken instead: unguided, where the guided one is not
            finite; capped, also where guidance moved it too far; judged, also where members that do not guide see no
            gain (give --members 0); none, never. `qgf names fallback` lists them.
        cap_step: Guidance never adds more than so many times the flow's own velocity in a step.
        cap_dim: Guidance pushes no number of an action by more than so many standard deviations.
        metric: sigma pushes each number of a chunk in proportion to its variance; none, all alike; to choose from.
        guided_dims: The numbers of an action that are guided, counted from 0, by default all; the others stay as they
            were cloned.
        steps: Number of denoising steps, by default the training method's own, 10 for most.
        solver: How a denoising step is taken: euler, or midpoint, twice the work of a step for an error that falls with
            the square of their number.
        guide_steps: How often the guide is asked on the way, to choose from; by default at every step, and in between
            its last direction holds.
        execute: Numbers of actions of each chunk to choose from that are played before the policy is asked again, by
            default all.
        warm: With --execute, the denoising time (0 is noise, 1 an action) at which a chunk starts from what is left of
            the last one.
        rungs: Tuning episodes that each round of successive halving adds; after each a third of the arms goes on, but
            at least two.
        episodes: Number of held-out episodes of the report.
        seed: Seed of the held-out episodes.
        tuning_seed: Seed of the tuning episodes.
        policy_seed: Which policy to tune, if the run has several seeds.
        env: The environment to play, if not the one that the run was trained for.
        success: What success is, if the environment does not say: a key of info, or what one or the return has to
            reach, as in "return>=-200". Without any, arms are chosen by their return.
        obs_keys: What policies see of observations that are dictionaries, by default what the run's data were told.
        offline: Choose the strength without an environment, from what two halves of the critics agree on.
        data_dir: For --offline the folder of datasets, or the data themselves; without this option where the run found
            its data, $QGF_DATA or ~/.ogbench/data.
    """
    from qgf.playing.tune import candidates
    from qgf.training.run import Run

    if offline and weight:
        raise UserError("--offline chooses a strength: leave --weight out")
    asked = dict(members=members, choose=choose, robust=robust)
    held = dict(fallback=fallback, cap_step=cap_step, cap_dim=cap_dim, execute=execute or (None,), warm=warm)
    shaped = dict(metric=metric, guided_dims=guided_dims)
    pace = dict(steps=steps, solver=solver, guide_steps=guide_steps or (None,))
    arms = candidates(guide, strength, weight, best_of, schedule, **asked, **held, **shaped, **pace)
    if offline:
        return _tune_offline(Run(run), arms, policy_seed, data_dir)
    _tune(Run(run), arms, rungs, episodes, seed, tuning_seed, policy_seed, env, success, obs_keys)
    closing(f"wrote {run / 'tuning'}", "report", run)


def _tune(run, arms, rungs, episodes, seed, tuning_seed, policy_seed, env, rule, keys):
    from qgf.files import locked, stays_inside
    from qgf.playing.arm import possible
    from qgf.playing.episodes import on_demand
    from qgf.playing.ledger import Ledger, Player
    from qgf.playing.measure import solved
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
    most = max(*rungs, episodes)
    stays_inside(run.directory)
    keys, horizon = keys or seen_keys(run), trained.spec.horizon
    with locked(folder), bar("tuning", "episodes") as tell, on_demand(env, horizon, most, keys, rule) as envs:

        def progress(name, done, wins, total):
            tell(done, total, solved(wins), name=name)

        ledger = Ledger(folder / "episodes.csv")
        player = Player(
            trained.policy, env, ledger, envs, policy_seed=policy_seed, training_seed=run.config.seed + policy_seed,
            updates=trained.updates, rule=rule, progress=progress,
        )  # fmt: skip
        tuned = run_tuning(player, arms, rungs, episodes, seed, tuning_seed)
        save(tuned, folder / "tuned.json")
    _print_tuned(tuned, ledger)
    _print_doubts(run)


def _print_doubts(run):
    """What its training left to doubt: a strength that was chosen does not make a critic know more."""
    from qgf.training.doubts import doubts

    for note in doubts(run.metrics()):
        console.print(Text("caution:", "yellow").append(f" {note}", "default"))


def _print_tuned(tuned, ledger):
    from qgf.playing.measure import TESTS, interval, number, span

    measure = tuned.measure
    cost = {row.arm: f"{row.decision_ms:.2f}" for row in ledger.costs}
    best_first = sorted(tuned.trials.items(), key=lambda item: (-len(item[1]), -item[1].mean()))
    trials = [[arm.label, str(len(x)), number(x.mean(), measure), cost.get(arm.label, "")] for arm, x in best_first]
    print_table(("tried", "episodes", measure, "ms/call"), trials)
    reports = []
    for name, (arm, row) in tuned.reports.items():
        scores, p = row.scores, f"{tuned.p[name]:.2g}" if name in tuned.p else ""
        ends = span(interval(scores, measure), measure)
        reports.append([name, arm.label, number(scores.mean(), measure), ends, f"{row.ratio:.2f}", p])
    test = f"p ({TESTS[measure]})"
    print_table(("held-out episodes", "arm", measure, "95 % interval", "|wg|/|v|", test), reports, words=2)
    print_done([(arm.label, cost) for arm, row in tuned.reports.values() for cost in ledger.costs_of(row)[-1:]])
    for note in tuned.cautions:
        console.print(Text("caution:", "yellow").append(f" {note}", "default"))


def _tune_offline(run, arms, policy_seed, data_dir):
    import jax

    from qgf.environments.datasets import dataset_of
    from qgf.laboratory.analysis import some_states
    from qgf.playing.offline import offline as choose

    _print_doubts(run)
    policy = run.policy(policy_seed)
    states = some_states(dataset_of(run.record, data_dir), run.config.horizon, 256).observations
    for arm in dict.fromkeys(replace(arm, strength=None) for arm in arms):
        strengths = [other.strength for other in arms if replace(other, strength=None) == arm]
        found = choose(policy, states, jax.random.key(run.config.seed), arm, strengths)
        chosen = replace(arm, strength=found.strength)
        title = "gain in Q over the same without guidance"
        found_rows = zip(found.strengths, found.claimed, found.confirmed, strict=True)
        rows = [[f"{strength:g}", f"{claimed:.3f}", f"{confirmed:.3f}"] for strength, claimed, confirmed in found_rows]
        print_table(("strength", "by the critics that guide", "confirmed by the others"), rows, words=0, title=title)
        way = ("--strength", f"{found.strength:g}", "--best-of", arm.best_of, "--schedule", arm.schedule)
        asked = (("--members", arm.members), ("--choose", arm.choose))
        way += tuple(part for option, x in asked if x for part in (option, x)) + (("--robust",) * arm.robust)
        played = ("evaluate", run.directory, "--guide", "none", arm.guide, *way)
        following = played if environment_of(run) else ("report", run.directory)
        closing(f"chosen without an environment: {chosen.label}", *following)
