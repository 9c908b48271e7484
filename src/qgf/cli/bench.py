"""`qgf bench`: Time a run's policy on this machine: guides, best-of-N, one observation and a batch."""

from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.printing import bar, closing, console, print_table


def bench(
    run: tyro.conf.Positional[Path],
    /,
    guide: tuple[str, ...] = ("none", "ood", "qgf", "jacobian", "chain", "bptt"),
    best_of: tuple[int, ...] = (1, 4),
    batch: tuple[int, ...] = (1, 64),
    steps: Optional[int] = None,
    calls: int = 200,
    seconds: float = 60.0,
):
    """Time a run's policy on this machine, from NumPy observation to NumPy actions; print and write a table.

    Args:
        run: The run's directory, or a policy's.
        guide: Guides to time; "all" stands for all that the run has the networks for. Ratios are to the first.
        best_of: Take the best of this many guided samples at each decision.
        batch: Numbers of observations that are decided on at once.
        steps: Number of denoising steps, by default the training method's own, 10 for most.
        calls: Calls of each that are timed, in turns.
        seconds: Stop earlier when this many seconds are over; at least 20 calls of each are timed.
    """
    import jax
    import numpy as np

    from qgf.cli.evaluate import possible_guides
    from qgf.deployment.bench import Latency, columns, machine
    from qgf.deployment.bench import bench as time
    from qgf.files import write_csv
    from qgf.playing.arm import arms
    from qgf.training.run import Run

    there = Run(run)
    policy = there.policy()
    guides = possible_guides(there) if guide == ("all",) else guide
    ways = {arm.label: arm.of(policy) for arm in arms(guides, best_of=best_of, steps=steps)}
    assert policy.obs_spec is not None, "trained policies know their observation"
    obs = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), policy.obs_spec.one)
    with bar("timing", "calls of each") as tell:
        rows = time(ways, obs, batch, calls, seconds, lambda done, total: tell(done, total))
    head = ("arm", "batch", "median ms", "p99 ms", "x first", "MFLOP", "MB read", "of bandwidth")
    print_table(head, columns(rows))
    console.print(f"{min(row.calls for row in rows)} calls of each in turns, {machine()}")
    path = run / "latency.csv"
    write_csv(path, rows, Latency.__struct_fields__)
    closing(f"wrote {path}")
