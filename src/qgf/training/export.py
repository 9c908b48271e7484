"""policy/, all that acting needs, from a run's state or one of its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qgf.data import Dataset
from qgf.data.stored import Stored
from qgf.errors import UserError
from qgf.files import read_sums, settled, stays_inside, turn
from qgf.training.checkpoint import Checkpoints
from qgf.training.folder import begun_with
from qgf.training.learner import State
from qgf.training.run import Run
from qgf.training.scales import kept as kept_scales
from qgf.training.setup import Setup, policy_folders, prepare
from qgf.training.trained import Trained, load_trained, save_trained
from qgf.training.weights import WEIGHTS


def write_policies(policies: Sequence[Trained], folder: Path) -> None:
    """The policies of a run's seeds, each under the updates it had (a resumed run may have more than it asked for)."""
    for trained, one in zip(policies, policy_folders(folder, len(policies)), strict=True):
        save_trained(trained, one)


def listed(policy: Path) -> bool:
    """Whether a policy's folder has all sums, as if no kill came before the last, or none, as of an older version."""
    return not read_sums(policy) or all(settled(policy / name) for name in (WEIGHTS, "config.json"))


def exported(folder: Path, seeds: int, updates: int) -> bool:
    """Whether the policies of all seeds are there, whole, as they were after so many updates, and `listed`."""
    try:
        return all(load_trained(one).updates == updates and listed(one) for one in policy_folders(folder, seeds))
    except UserError:
        return False


def restored(setup: Setup, checkpoints: Checkpoints, step: int) -> State:
    """The state after `step` updates, with what others lend as it is now: they may have been trained further."""
    fresh = setup.start()
    state = checkpoints.restore(step, fresh)
    return state._replace(nets=setup.learner.with_frozen(state.nets, fresh.nets))


def export(run: Run, dataset: Dataset | Stored, step: int | None = None) -> Path:
    """Write policy/ of a run, whether it was finished or not or is being trained, from its checkpoint after `step`
    updates (default the newest); `dataset` is what it was trained on. Returns the folder. Raises UserError if there is
    no such checkpoint.
    """
    record, config = run.record, run.config
    stays_inside(run.directory)
    checkpoints = Checkpoints(run.directory / "checkpoints", write=False)
    _chosen(run, checkpoints, step)
    known, plan = kept_scales(run.directory, dataset), begun_with(run.directory)
    alone = replace(config, devices=1)  # whoever exports need not have those that trained
    setup = prepare(dataset, alone, record.get("flow"), record.get("critic_from"), known, plan)
    while True:
        chosen = _chosen(run, checkpoints, step)
        try:
            policies = setup.trained(restored(setup, checkpoints, chosen))
            break
        except UserError:
            if chosen in checkpoints.steps():  # else whoever trains the run has deleted it meanwhile
                raise
    checkpoints.close()
    with turn(run.directory):
        write_policies(policies, run.directory / "policy")
    return run.directory / "policy"


def _chosen(run: Run, checkpoints: Checkpoints, step: int | None) -> int:
    kept = checkpoints.steps()
    if not kept:
        raise UserError(f"{run.directory}: it has no checkpoint yet to export a policy from")
    if step is not None and step not in kept:
        raise UserError(f"{run.directory}: no checkpoint of {step} updates, it has {', '.join(map(str, kept))}")
    return kept[-1] if step is None else step


def export_best(run: Run) -> Path:
    """Make policy/ of a run the best that was played while it trained, best/. Returns the folder."""
    stays_inside(run.directory)
    with turn(run.directory):
        for best, place in zip(
            *(policy_folders(run.directory / name, run.config.seeds) for name in ("best", "policy")), strict=True
        ):
            if not (best / "config.json").exists():
                raise UserError(f"{run.directory}: nothing was played while it trained (--eval-every), so none is best")
            save_trained(load_trained(best), place)
    return run.directory / "policy"
