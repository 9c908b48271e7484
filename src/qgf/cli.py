"""The command line. Every command is a thin layer over one public function."""

import argparse
import sys
import webbrowser
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Optional

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from qgf.config import TrainConfig, to_json
from qgf.errors import UserError, unknown
from qgf.methods import METHODS
from qgf.methods.bc import BC

console = Console(highlight=False)
Positional = tyro.conf.Positional


def collect(
    env: Positional[str],
    /,
    transitions: Optional[int] = None,
    seed: int = 0,
    workers: Optional[int] = None,
    data_dir: Optional[Path] = None,
    overwrite: bool = False,
):
    """Make an OGBench dataset on this machine with the scripted oracles of its wheel.

    Args:
        env: Environment and kind of data: pointmaze-medium-navigate, cube-single-play, scene-noisy, ...
        transitions: How many, default as published (one million for most); a tenth more is made for validation.
        seed: Same seed, same data, whatever the number of workers.
        workers: Processes, default one per core.
        data_dir: Folder of datasets, default $QGF_DATA or ~/.ogbench/data.
        overwrite: Replace a dataset that is there.
    """
    from qgf.data.collect import collect as run

    with _bar("collecting", "transitions") as tell:
        path = run(env, transitions, seed, workers, data_dir, overwrite, lambda done, total: tell(done, total))
    kind = path.stem.rsplit("-", 1)[0]
    _closing(f"wrote {path}", f"qgf train {kind}-singletask-task1-v0")


def _train_command(method):
    """`qgf train` for one training method, whose own options it offers."""

    def train(
        dataset: Positional[str],
        /,
        config: tyro.conf.OmitArgPrefixes[TrainConfig] = TrainConfig(),
        method: tyro.conf.OmitArgPrefixes[method] = method(),
        out: Optional[Path] = None,
        flow: Optional[Path] = None,
        critic_from: Optional[Path] = None,
        data_dir: Optional[Path] = None,
        log: tuple[str, ...] = (),
        overwrite: bool = False,
    ):
        """Train a flow policy by cloning and a critic by TD; continues a run that was interrupted, to the bit.

        Choose the training method with --method NAME; its options are listed under --method NAME --help.

        Args:
            dataset: OGBench single-task name (pointmaze-medium-navigate-singletask-task1-v0), for --method gc an
                oraclerep name (pointmaze-medium-navigate-oraclerep-v0), or an .npz file.
            out: Run directory, default runs/NAME.
            flow: A run whose cloned flow is reused, so that only a critic is trained for this task.
            critic_from: A run whose critic is reused.
            data_dir: Folder of datasets, default $QGF_DATA or ~/.ogbench/data.
            log: Loggers besides metrics.csv: tensorboard, wandb.
            overwrite: Delete what the run directory holds and start again.
        """
        from qgf.data import load_dataset

        loaded = load_dataset(dataset, data_dir)
        out = out or Path("runs") / Path(loaded.name).stem
        run = _train(loaded, replace(config, method=method), out, log, flow, critic_from, overwrite)
        _closing(f"wrote {run.directory}", f"qgf evaluate {run.directory} --guide none ood qgf --best-of 1 4")

    return train


def _train(dataset, config, out, log=(), flow=None, critic_from=None, overwrite=False):
    from qgf.loggers import make_logger
    from qgf.training import train as run

    console.print(f"{dataset.name}: {dataset.transitions:,} transitions, {dataset.obs_dim} -> {dataset.action_dim}")
    record = make_logger(log, out, to_json(config))
    with _bar("training", "updates") as tell:

        def progress(step, logs):
            tell(step, config.steps, f"{logs['updates_per_second']:.0f}/s")
            record(step, logs)

        return run(dataset, config, out, flow, critic_from, overwrite=overwrite, progress=progress)


def evaluate(
    run: Positional[Path],
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
    from qgf.evaluation import arms
    from qgf.training import Run

    guides = _possible(Run(run)) if guide == ("all",) else guide
    best_of = best_of or (Run(run).config.method.best_of,)
    chosen = arms(guides, strength, weight, best_of, steps, schedule)
    scores = _evaluate(Run(run), chosen, episodes, seed, env, video)
    _print_scores(scores)
    _closing(f"wrote {run / 'evaluation.csv'}", f"qgf report {run}")


def _possible(run):
    """Every guide that the run has the networks for; says which it has not."""
    from qgf.evaluation import possible
    from qgf.guides import GUIDES

    lacks = possible(run.policy(), sorted(GUIDES, key=list(GUIDES).index))
    for guide, reason in lacks.items():
        if reason:
            console.print(f"without {guide}: {reason}")
    return [guide for guide, reason in lacks.items() if not reason]


def _evaluate(run, chosen, episodes=50, seed=0, env=None, video=False):
    from qgf.envs import tasks_of
    from qgf.evaluation import evaluate_run, share_of, write_scores

    env = _played(run, env)
    tasks = tasks_of(env)
    share, scores = share_of(episodes, tasks), []
    for task in tasks:
        where = _where(task) if len(tasks) > 1 else ""
        with _bar("evaluating", "episodes") as tell:

            def progress(arm, policy_seed, where=where, tell=tell):
                return lambda done, wins, total: tell(done, total, f"{wins} solved", name=arm.label + where)

            scores += evaluate_run(run, chosen, task, share, seed, progress)
    write_scores(run.directory / "evaluation.csv", scores)
    for task in tasks:
        name = "walks.npz" if len(tasks) == 1 else f"walks-{_goal(task)}.npz"
        _save_walks(run.directory / name, [s for s in scores if s.env == task], task)
    if video:
        from qgf.video import film

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


def _played(run, env):
    env = env or run.record["dataset"]
    if env.endswith(".npz"):
        raise UserError(f"{run.directory} was trained on {env}; say which environment to play with --env NAME")
    return env


def _save_walks(path, scores, env, keep=25):
    """The walks of the first seed's policy, for the report's picture of the maze."""
    from qgf.envs import parse_name
    from qgf.maze import Maze, Walks

    maze = Maze.of(parse_name(env).env)
    if maze is not None:
        first = {s.arm.label: s for s in scores if s.policy_seed == 0}
        paths = {label: s.paths[:keep] for label, s in first.items()}
        success = {label: s.success[:keep] for label, s in first.items()}
        Walks(maze, scores[0].updates, paths, success).save(path)


def _print_scores(scores):
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
    from qgf.evaluation import pooled

    for arm, policy_seed in dict.fromkeys((s.arm, s.policy_seed) for s in scores):
        mine = [s for s in scores if (s.arm, s.policy_seed) == (arm, policy_seed)]
        yield from mine
        yield pooled(mine, env)


def tune(
    run: Positional[Path],
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
    from qgf.training import Run
    from qgf.tuning import candidates

    if offline and weight:
        raise UserError("--offline chooses a strength: leave --weight out")
    arms = candidates(guide, strength, weight, best_of, schedule)
    if offline:
        return _tune_offline(Run(run), arms, policy_seed, data_dir)
    _tune(Run(run), arms, rungs, episodes, seed, tuning_seed, policy_seed, env)
    _closing(f"wrote {run / 'tuning'}", f"qgf report {run}")


def _tune(run, arms, rungs, episodes, seed, tuning_seed, policy_seed, env):
    from qgf.checkpoint import load_trained
    from qgf.evaluation import possible
    from qgf.files import locked
    from qgf.ledger import Ledger, Player
    from qgf.tuning import save
    from qgf.tuning import tune as run_tuning

    folders, folder = run.policy_dirs(), run.directory / "tuning"
    if not 0 <= policy_seed < len(folders):
        raise UserError(f"{run.directory}: no policy of seed {policy_seed}, it has {len(folders)}")
    env, trained = _played(run, env), load_trained(folders[policy_seed])
    for name, lack in possible(trained.policy(), dict.fromkeys(arm.guide for arm in arms)).items():
        if lack:
            raise UserError(f"{name}: {lack}")
    with locked(folder), _bar("tuning", "episodes") as tell, _environment(env, trained.spec.horizon) as envs:

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
    from qgf.envs import make_vector_env, parse_name

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

    from qgf.analysis import some_states
    from qgf.data import load_dataset
    from qgf.tuning import offline as choose

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
        _closing(
            f"chosen without an environment: {chosen.label}",
            f"qgf evaluate {run.directory} --guide none {arm.guide} --strength {found.strength:g}"
            f" --best-of {arm.best_of} --schedule {arm.schedule}",
        )


def compare(
    study: Positional[Path],
    /,
    out: Path = Path("runs/studies"),
    data_dir: Optional[Path] = None,
    jobs: Optional[int] = None,
):
    """Run a study: train what is missing, tune, play held-out episodes; continues where it was interrupted.

    Args:
        study: A study file (TOML): environments x training seeds x methods; docs/studies has examples.
        out: The study goes to a folder of its name, its runs to a folder that all studies share.
        data_dir: Folder of datasets, default $QGF_DATA or ~/.ogbench/data.
        jobs: Runs to train at a time, each with its share of the cores; default one per core, one on a GPU.
    """
    from qgf.compare import compare as run
    from qgf.study import read_study

    with _bar("studying", "", keep=False) as tell:
        progress = lambda name, done, total, note: tell(done, total, note, name)
        folder = run(read_study(study), out, data_dir, progress, jobs)
    console.print((folder / "aggregate.md").read_text(encoding="utf-8"), soft_wrap=True)
    _closing(f"wrote {folder}", f"open {folder / 'figures'}")


def analyse(
    run: Positional[Path],
    /,
    guide: tuple[str, ...] = (),
    updates: int = 5_000,
    states: int = 512,
    best_of: tuple[int, ...] = (1, 4, 16, 64),
    seed: int = 0,
    data_dir: Optional[Path] = None,
    open: bool = False,
):
    """Measure what the critic's gradient is worth: noise, Jacobians, Q reached, distance from the data, cost.

    Trains two critics on halves of the data, one that guides and one that judges; a second analysis reuses them.

    Args:
        run: Run directory.
        guide: Default all that the run can do, without the controls.
        updates: Of the two critics, at most the run's own number.
        states: Held-out states to measure at.
        best_of: Numbers of unguided actions to choose from, for comparison.
        seed: Of states and noise.
        data_dir: Folder of datasets, default $QGF_DATA or ~/.ogbench/data.
        open: Open the report in a browser.
    """
    from qgf.analysis import analyse as measure

    with _bar("analysing", "") as tell:
        progress = lambda name, done, total: tell(done, total, name=name)
        page = measure(run, guide, updates, states, best_of, data_dir, seed, progress)
    if open:
        webbrowser.open(page.resolve().as_uri())
    _closing(f"wrote {run / 'analysis'} and {page}", f"qgf tune {run}")


def report(run: Positional[Path], /, open: bool = False):
    """Write report.html and figures/ of a run.

    Args:
        run: Run directory.
        open: Open the page in a browser.
    """
    from qgf.report import report as write

    page = write(run)
    if open:
        webbrowser.open(page.resolve().as_uri())
    _closing(f"wrote {page}", f"qgf report {run} --open")


def demo(out: Path = Path("runs/demo"), open: bool = False):
    """Everything once, in minutes: collect pointmaze-medium, train, guide, evaluate on 50 episodes, report.

    Args:
        out: Run directory; its data goes to a folder demo-data beside it.
        open: Open the report in a browser.
    """
    from qgf.data import load_dataset
    from qgf.data.collect import collect as make_data
    from qgf.evaluation import arms
    from qgf.report import report as write

    began = perf_counter()
    name, data = "pointmaze-medium-navigate", out.parent / "demo-data"
    if not (data / f"{name}-v0.npz").exists():
        with _bar("collecting", "transitions") as tell:
            make_data(name, 100_000, directory=data, progress=lambda done, total: tell(done, total))
    dataset = load_dataset(f"{name}-singletask-task1-v0", data)
    run = _train(dataset, replace(TrainConfig(), steps=10_000, method=METHODS["bc"](width=128)), out)
    chosen = arms(("none", "ood", "qgf")) + arms(("none",), best_of=(4,)) + arms(("qgf",), (0.1, 0.3, 3.0))
    scores = _evaluate(run, chosen)
    _print_scores(scores)
    page = write(run.directory)
    if open:
        webbrowser.open(page.resolve().as_uri())
    _closing(
        f"wrote {page} in {perf_counter() - began:.0f} s; open it in a browser",
        f"qgf evaluate {out} --guide all --strength 0.5 1 2",
    )


def tutorial(
    policy: Optional[Path] = None,
    export: Optional[Path] = None,
    export_policy: Optional[Path] = None,
    port: int = 0,
    open: bool = True,
):
    """The interactive tutorial, on this machine: serves the page and opens it; Ctrl-C stops.

    Args:
        policy: A pointmaze run whose networks the last demo runs, instead of the ones that the page ships with.
        export: Write the page as one HTML file instead of serving it.
        export_policy: Write the policy of the run named by --policy in the page's format instead of serving it.
        port: To serve on; default a free one.
        open: Open it in a browser.
    """
    from qgf.tutorial import page, serve, write_page, write_policy

    if export_policy:
        if policy is None:
            raise UserError("--export-policy needs --policy RUN")
        write_policy(export_policy, policy)
        return _closing(f"wrote {export_policy}", f"qgf tutorial --policy {policy}")
    if export:
        write_page(export, policy)
        return _closing(f"wrote {export}; open it in a browser", "qgf demo")

    def tell(url):
        console.print(f"serving {url} on this machine only; Ctrl-C stops")
        if open:
            webbrowser.open(url)

    serve(page(policy), port, tell)


COMMANDS = dict(
    demo=demo,
    collect=collect,
    train=_train_command(BC),
    evaluate=evaluate,
    tune=tune,
    compare=compare,
    analyse=analyse,
    report=report,
    tutorial=tutorial,
)


@contextmanager
def _bar(name, unit, keep=True):
    """A progress bar with time left; tell(done, total, note, name). A new name is a new bar, below the others or below
    those that are not done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn(unit))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, *times, console=console) as bar:
        tasks: dict = {}

        def tell(done, total, note="", name=name):
            if name not in tasks:
                for task in [task for task in bar.tasks if task.finished and not keep]:
                    bar.remove_task(tasks.pop(task.description))
                tasks[name] = bar.add_task(name, total=total, note="")
            bar.update(tasks[name], completed=done, total=total, note=note)

        yield tell


def _closing(wrote, following):
    """The last lines of a command: what it wrote, and what to try next."""
    console.print(f"{escape(wrote)}\nnext: [bold]{escape(following)}[/bold]", soft_wrap=True)


def _choose_method(arguments):
    """Take `--use FILE` and `--method NAME` out of the arguments: (that method, the other arguments)."""
    from qgf.plugins import use

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--method", default="bc")
    parser.add_argument("--use", action="append", default=[])
    chosen, others = parser.parse_known_args(arguments)
    for file in chosen.use:
        use(file)
    if chosen.method not in METHODS:
        raise unknown("method", chosen.method, METHODS)
    return METHODS[chosen.method], others


def main(arguments=None):
    """Entry point of `qgf`. A user's mistake is one line on stderr and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        method, arguments = _choose_method(arguments)
        commands = COMMANDS | dict(train=_train_command(method))
        tyro.extras.subcommand_cli_from_dict(commands, prog="qgf", args=arguments, description=_DESCRIPTION)
    except UserError as error:
        print(f"qgf: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nqgf: interrupted; the same command continues where it stopped", file=sys.stderr)
        raise SystemExit(130) from None


_DESCRIPTION = (
    "Q-guided flow: improve a flow policy at test time with a critic's gradient. Estimators and training methods of "
    "your own: qgf --use FILE.py COMMAND ..."
)

if __name__ == "__main__":
    main()
