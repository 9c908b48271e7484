"""`qgf sanity`: Check a run's critic before a robot moves: go or no go, and why."""

from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.data import Where
from qgf.cli.printing import closing, console, print_table


def sanity(
    run: tyro.conf.Positional[Path],
    /,
    guide: str = "qgf",
    strength: Optional[float] = None,
    hz: Optional[float] = None,
    seed: int = 0,
    data_dir: Where = None,
):
    """Check a run's critic before a robot moves, on its held-out episodes: go or no go, and why.

    Asks whether Q tells successful from failed episodes and looks at actions, whether the ensemble agrees, how hard the
    guide pushes and how long a decision takes. The exit status is 1 for no go.

    Args:
        run: The run's directory.
        guide: How the critic is asked.
        strength: In standard deviations of the reference policy's actions, by default 0.5.
        hz: Actions per second of the robot: a decision has to be there before the chunk is over.
        seed: Seed of the chunks that are asked about, and of the noise.
        data_dir: The folder of datasets, or the data themselves; without this option where the run found its data.
    """
    from qgf.deployment.sanity import Check, verdict
    from qgf.deployment.sanity import sanity as check
    from qgf.environments.datasets import dataset_of
    from qgf.files import write_csv
    from qgf.training.run import Run

    there = Run(run)
    policy = there.policy(guide=guide, strength=strength)
    checks = check(policy, dataset_of(there.record, data_dir), hz, seed=seed)
    number = lambda x: "–" if x is None else f"{x:.3g}"
    interval = lambda x: "–" if x.low is None else f"{x.low:.3g} to {x.high:.3g}"
    said = {True: "yes", False: "no", None: "–"}
    rows = [[x.name, number(x.value), interval(x), x.asks, said[x.passed]] for x in checks]
    print_table(("check", "value", "95 % interval", "asked", "passed"), rows)
    go, why = verdict(checks)
    console.print(why)
    path = run / "sanity.csv"
    write_csv(path, checks, Check.__struct_fields__)
    closing(f"wrote {path}", *(("ab", "--help") if go else ("analyse", run)))
    if not go:
        raise SystemExit(1)
