"""What a study costs beside its trainings and episodes: fake runs and blocks on the local engine, with a real ledger.

python benchmarks/engine_load.py [--runs 1000] [--out FILE.md]

Every run is a task that does nothing, of which four in five wait for another one's; every block returns a made-up row.
Everything else is what `qgf compare` does: who waits for whom, what is there already, processes, the ledger.
"""

import argparse
import resource
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import psutil

from qgf.playing.rows import OWN, Row

TASKS = 5
SLICES = 4


def nothing(place, job, tell):
    """In place of a training."""


def made_up(place, block, tell):
    """In place of episodes: a row as long as a real one."""
    won = np.random.default_rng([block.task, block.job.seed]).random(block.episodes) < 0.5
    numbers = dict(success=won.mean(), low=0.0, high=1.0, returns=-9.0, lengths=9.0, value=-3.0, ratio=0.2)
    return Row(
        env=block.job.env.full(block.task), train=block.job.train, policy_seed=block.job.seed, updates=1_000_000,
        guide=block.arm.guide, strength=block.arm.strength, best_of=1, split=block.split, stream=OWN, seed=block.seed,
        first=block.first, episodes=block.episodes, successes=int(won.sum()),
        outcomes="".join("01"[int(x)] for x in won), skipped=0, raw_weight=0.0, gflop=0.1, decision_ms=1.0, seconds=1.0,
        **numbers,
    )  # fmt: skip


def measured(runs: int) -> dict[str, float]:
    """A study of so many fake runs, with a block of 50 episodes each."""
    import engine_load  # by this name the workers find it

    import qgf.laboratory.workshop as workshop
    from qgf.laboratory.compare import to_begin
    from qgf.laboratory.study import read_study

    workshop.train_job, workshop.play_block = engine_load.nothing, engine_load.made_up
    with tempfile.TemporaryDirectory() as folder:
        text = f'[[environment]]\nname = "pointmaze-medium-navigate"\ntasks = {[*range(1, TASKS + 1)]}\n'
        (Path(folder) / "load.toml").write_text(
            f"{text}seeds = {[*range(runs // TASKS)]}\n[train.fake]\n[method.none]\nguide = 'none'\n"
        )
        study = read_study(Path(folder) / "load.toml")
        shop = workshop.Workshop(study, Path(folder), Path(folder), lambda *_: None, jobs=2)
        seen, inner, writing = [], shop._done, [0.0, 0]
        process = psutil.Process()

        def done(step, future, played):
            began = perf_counter()
            inner(step, future, played)
            writing[0] += perf_counter() - began
            writing[1] += 1
            if writing[1] % (2 * runs // SLICES) == 0:
                seen.append((perf_counter(), process.memory_info().rss, writing[0]))

        shop._done = done
        began, used = perf_counter(), process_time()
        shop.make((), to_begin(shop))
        wall, cpu = perf_counter() - began, process_time() - used
        rows = len(shop.ledger.rows)
        shop.close()
    assert rows == runs
    growth = (seen[-1][1] - seen[0][1]) / 2**20
    return dict(wall=wall, cpu=cpu, tasks=2 * runs, grown=growth, ledger=1e3 * seen[-1][2] / runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    head = (
        "runs",
        "tasks",
        "wall, ms a task",
        "CPU of the first process, ms a task",
        "ledger, ms a row",
        "memory grew by",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for runs in (asked.runs // 4, asked.runs // 2, asked.runs):
        x = measured(runs)
        each = [f"{1e3 * x[key] / x['tasks']:.1f}" for key in ("wall", "cpu")]
        shown = [f"{runs:,}", f"{x['tasks']:,.0f}", *each, f"{x['ledger']:.1f}", f"{x['grown']:.1f} MiB"]
        lines.append(f"| {' | '.join(shown)} |")
        print(lines[-1], flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    lines.append(
        f"\nMemory of the first process: what the last quarter adds to the first's; its peak is {peak:.0f} MiB."
    )
    print(*lines, sep="\n")
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
