"""`qgf compare`: Run a whole study of environments, training seeds and methods."""

from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.printing import bar, closing, console


def compare(
    study: tyro.conf.Positional[Path],
    /,
    out: Path = Path("runs/studies"),
    data_dir: Optional[Path] = None,
    jobs: Optional[int] = None,
    engine: str = "local",
    cpus: Optional[int] = None,
    gpus: float = 0,
):
    """Run a study: train what is missing, tune, play held-out episodes; continues where it was interrupted.

    Args:
        study: A study file (TOML): environments, training seeds and methods; docs/studies has examples.
        out: Where results go: the study to a folder of its name, its runs to a folder that all studies share.
        data_dir: The folder of datasets, by default $QGF_DATA or ~/.ogbench/data.
        jobs: Number of runs to train, or blocks of episodes to play, at a time, each with its share of the cores; by
            default one per core, and one on a GPU.
        engine: Where that is done: local, ray or ray:ADDRESS (a Ray cluster), slurm or slurm:PARTITION. All machines
            have to see --out and --data-dir.
        cpus: On Ray or SLURM, the cores of each run, by default 1.
        gpus: On Ray or SLURM, the GPUs of each run; on Ray a part of one may be enough (0.25).
    """
    from qgf.laboratory.compare import compare as run
    from qgf.laboratory.engines.engine import Asked
    from qgf.laboratory.study import read_study
    from qgf.pages.study import write_study

    with bar("studying", "", keep=False) as tell:
        progress = lambda name, done, total, note: tell(done, total, note, name)
        results = run(read_study(study), out, data_dir, progress, jobs, Asked(engine, cpus, gpus))
    folder = write_study(results)
    whole = "aggregate" if "aggregate" in results.tables else "per_task"
    console.print((folder / f"{whole}.md").read_text(encoding="utf-8"))
    for line in results.tables.get("chosen", []):
        if line["caution"]:
            where = f"{line['env']}, {line['method']} ({line['chosen']})"
            console.print(f"caution: {where}: {line['caution']}", markup=False)
    closing(f"wrote {folder}; its pictures are in {folder / 'figures'}")
