"""A LeRobotDataset with one column more: what a policy makes of every frame. Needs LeRobot."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from qgf.errors import UserError
from qgf.lerobot.prefix import prefix_of
from qgf.words import FEATURES


def write_features(
    dataset: Path, policy: Path, out: Path, batch_size: int = 32, device: str = "cpu"
) -> tuple[int, int]:
    """Writes the dataset to `out` with a column `observation.features`; returns frames and numbers for each.

    `policy` is the folder that LeRobot saved it and its processors in. Raises UserError without LeRobot, for folders
    that are none, and for features that are not finite.
    """
    try:
        import lerobot.policies  # noqa: F401
    except ImportError:
        told = "features are the policy's own, and need LeRobot: pip install 'qgf[lerobot]', Python 3.12 or newer"
        raise UserError(told) from None
    for folder, file in ((dataset, "meta/info.json"), (policy, "config.json")):
        if not (folder / file).is_file():
            raise UserError(f"{folder}: has no {file}")
    if out.exists():
        raise UserError(f"{out}: is there already")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all of it is here
    import torch
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.datasets.dataset_tools import add_features
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    config = PreTrainedConfig.from_pretrained(str(policy))
    config.pretrained_path, config.device = policy, device
    acting = get_policy_class(config.type).from_pretrained(str(policy), config=config)
    overrides = {"device_processor": {"device": device}}
    before, _ = make_pre_post_processors(config, pretrained_path=str(policy), preprocessor_overrides=overrides)
    frames = LeRobotDataset(f"local/{dataset.name}", root=dataset)
    inputs, rows = {*config.input_features, "task"}, []
    for batch in torch.utils.data.DataLoader(frames, batch_size):
        seen = before({name: x for name, x in batch.items() if name in inputs})
        rows.append(prefix_of(acting, seen).cpu().numpy())
    made = np.concatenate(rows)
    if not np.isfinite(made).all():
        raise UserError(
            f"{policy}: makes numbers of frame {int(np.argwhere(~np.isfinite(made))[0, 0])} that are not finite"
        )
    column = dict(dtype="float32", shape=(made.shape[1],), names=None)
    add_features(frames, {FEATURES: (made, column)}, output_dir=out, repo_id=f"local/{out.name}")
    return made.shape
