"""`qgf ab`: Compare arms on a robot, or in a simulator, in random order, and stop when it is decided."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.printing import closing, console, print_table
from qgf.errors import UserError

KEYS = {"s": "success", "f": "failure", "a": "abort"}


def ab(plan: tyro.conf.Positional[Path], /, out: Optional[Path] = None, report: bool = False):
    """Play the arms of a plan (TOML) in random order, an episode of each in every block, and say what is decided so
    far. In a simulator that the plan names, or by asking how each episode ended; the same command goes on.

    Args:
        plan: The plan's file; docs/how/ab.md says what stands in it.
        out: The folder of episodes.csv and report.html, by default ab/ and the plan's name.
        report: Play nothing: print the tables and write the page of what there is.
    """
    from qgf.files import locked
    from qgf.pages.ab import write_page
    from qgf.playing.ab import Session
    from qgf.playing.ab import ab as play_plan
    from qgf.playing.plan import read_plan

    read, folder = read_plan(plan), out or Path("ab") / plan.stem
    if report:
        session = Session(read, folder)
    elif read.env:
        with _simulator(read) as play:
            session = play_plan(read, folder, play, lambda now: console.print(_last(now)))
    else:
        with locked(folder), _served(read) if read.port is not None else nullcontext() as switch:
            session = Session(read, folder)
            _ask(session, switch)
    _print(session)
    following = () if session.next() is None else ("ab", plan)
    closing(f"wrote {write_page(session)}", *following)


def _print(session) -> None:
    from qgf.pages.ab import AGAINST, ARMS, arm_rows, comparison_rows, rule, verdict

    print_table(ARMS, arm_rows(session))
    print_table(AGAINST, comparison_rows(session), title=f"{session.plan.asked} against")
    console.print(verdict(session))
    console.print(rule(session))


def _last(session) -> str:
    trial = session.trials[-1]
    return f"episode {trial.number}, block {trial.block}: {trial.arm}: {trial.outcome}"


def _ask(session, switch) -> None:
    """Ask a person how each episode ended, until all is over, `q` or the end of the input. Where this program switches
    the arms itself (`switch(label)`), nobody is told which one acts.
    """
    while (due := session.next()) is not None:
        if switch:
            switch(due.arm)
        who = "" if switch else f": {due.arm}"
        told = f"episode {due.number}, block {due.block} of {session.plan.blocks}{who}"
        try:
            said = input(f"{told}  [s]uccess, [f]ailure, [a]bort, [u]ndo the last, [q]uit > ").strip()
        except EOFError:
            return console.print()
        key, _, note = said.partition(" ")
        key = key.lower()[:1] if key.lower() in ("success", "failure", "abort", "undo", "quit") else key.lower()
        if key == "q":
            return
        if key in KEYS:
            session.add(due, KEYS[key], note.strip())
        elif key == "u" and session.trials:
            session.undo()
        else:
            console.print("one of s, f, a, u or q; what follows after a space is kept as a note")


@contextmanager
def _simulator(plan) -> Iterator:
    """play(next) in the plan's environment: in a block all arms meet the same episode and noise."""
    from qgf.playing.episodes import evaluate, on_demand
    from qgf.training.run import Run

    policy = Run(Path(plan.run)).policy(plan.policy_seed, guide="none")
    ways = {way.label: (way.arm.of(policy), way.arm.execute) for way in plan.arm}
    with on_demand(plan.env, policy.horizon, 1, (), plan.success) as envs:

        def play(due):
            acting, execute = ways[due.arm]
            how = dict(first=due.block - 1, execute=execute, rule=plan.success)
            won = evaluate(acting, plan.env, 1, plan.seed, envs(), **how).success
            if won is None:
                raise UserError(f'{plan.env} does not say what success is; the plan can: success = "return>=-200"')
            return "success" if won[0] else "failure"

        yield play


@contextmanager
def _served(plan) -> Iterator:
    """Serve the run's policy, and yield what puts an arm in its place."""
    import asyncio
    import threading

    from qgf.deployment.options import Options
    from qgf.deployment.served import served
    from qgf.deployment.server import Server
    from qgf.training.run import Run

    policy, options, stop = (
        Run(Path(plan.run)).policy(plan.policy_seed, guide="none"),
        Options(batch=1),
        threading.Event(),
    )
    ways = {way.label: served(way.arm.of(policy), options) for way in plan.arm}
    server, failed = Server(ways[plan.asked], options, tell=console.print), []

    def run():
        try:
            asyncio.run(server.run(stop.is_set, plan.port))
        except UserError as error:
            failed.append(error)

    for way in ways.values():
        server.worker.warm(way)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not server.port and thread.is_alive():
            thread.join(0.05)
        if failed:
            raise failed[0]
        yield lambda label: server.worker.swap(ways[label])
    finally:
        stop.set()
        thread.join()
