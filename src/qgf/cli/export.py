"""`qgf export`: Make a run's policy of one of its checkpoints, or a graph of it for programs without Python."""

from pathlib import Path
from typing import Literal, Optional

import tyro

from qgf.cli.acting import Acting
from qgf.cli.data import Where
from qgf.cli.printing import closing
from qgf.errors import UserError


def export(
    run: tyro.conf.Positional[Path],
    /,
    step: Optional[int] = None,
    best: bool = False,
    data_dir: Where = None,
    format: Literal["policy", "stablehlo", "onnx"] = "policy",
    acting: tyro.conf.OmitArgPrefixes[Acting] = Acting(),
    policy_seed: int = 0,
    batch: int = 1,
):
    """Write the policy of a run, which evaluate and all else take, from a checkpoint: of an interrupted run, too. Or,
    with --format, the whole guided sampler of the policy that is there as one graph, into RUN/export.

    Args:
        run: The run's directory.
        step: The updates of the checkpoint to take, by default the newest that there is.
        best: Take the best policy that was played while training (`qgf train --eval-every`) instead.
        data_dir: The folder of datasets, or the data themselves; without this option where the run found its data,
            $QGF_DATA or ~/.ogbench/data.
        format: "policy", the run's own; "stablehlo" or "onnx", a graph that takes observations [B, S] and noise
            [B, N, d], N being 1 or --best-of, and gives actions [B, H, A]. It is tried against the policy.
        acting: For a graph, how the policy acts.
        policy_seed: For a graph, which policy, if the run has several seeds.
        batch: For a graph, how many observations it takes.
    """
    from qgf.cli.evaluate import environment_of
    from qgf.environments.datasets import dataset_of
    from qgf.training.export import export as write
    from qgf.training.export import export_best
    from qgf.training.run import Run
    from qgf.training.trained import load_trained

    if best and step is not None:
        raise UserError("give --step or --best, not both")
    there = Run(run)
    if format != "policy":
        if best or step is not None:
            raise UserError("--step and --best make the run's policy: export that first, then the graph of it")
        trained = there.trained(policy_seed)
        path = write_graph(run / "export", acting.of(trained.policy()), format, batch, trained.updates)
        return closing(f"wrote {path}, which does what the policy after {trained.updates} updates does")
    folder = export_best(there) if best else write(there, dataset_of(there.record, data_dir), step)
    updates = load_trained(there.policy_dirs()[0]).updates
    following = ("evaluate", run) if environment_of(there) else ("analyse", run)
    closing(f"wrote {folder}, the policy after {updates} updates", *following)


def write_graph(folder: Path, policy, format: Literal["stablehlo", "onnx"], batch: int, updates: int) -> Path:
    """policy.stablehlo or policy.onnx, and what it takes and gives in policy.json."""
    from qgf.deployment import graph as graphs
    from qgf.files import sealed_path, write_json

    made = graphs.graph(policy, batch)
    content = getattr(graphs, format)(made)
    path = folder / f"policy.{format}"
    with sealed_path(path) as temporary:
        temporary.write_bytes(content)
    inputs = {name: list(x.shape) for name, x in zip(graphs.NAMES, made.shapes, strict=True)}
    acting = dict(guide=policy.guide, weight=float(policy.weight), steps=policy.steps, updates=updates)
    outputs = dict(actions=[batch, policy.horizon, policy.action_dim])
    write_json(folder / "policy.json", dict(inputs=inputs, outputs=outputs) | acting)
    return path
