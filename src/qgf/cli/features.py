"""`qgf features`: Give a LeRobotDataset a column of what a policy makes of every frame."""

from pathlib import Path

import tyro

from qgf.cli.printing import closing


def features(
    dataset: tyro.conf.Positional[Path],
    /,
    policy: Path,
    out: Path,
    batch_size: int = 32,
    device: str = "cpu",
):
    """Give a LeRobotDataset a column of what a policy makes of every frame, so that its critic sees what it sees.

    The column observation.features is the mean of the policy's own tokens for pictures, words and state (SmolVLA, pi0,
    pi0.5), or its conditioning vector (multi-task DiT). `qgf train OUT` takes it beside the states.

    Args:
        dataset: The LeRobotDataset's folder.
        policy: The folder that LeRobot saved the policy in, pretrained_model of a checkpoint.
        out: Where the dataset with the column goes; a folder that is not there yet.
        batch_size: Frames that the policy sees at once.
        device: Where the policy runs, as torch calls it.
    """
    from qgf.lerobot.features import write_features

    frames, numbers = write_features(dataset, policy, out, batch_size, device)
    closing(f"wrote {out}: {numbers} numbers for each of {frames} frames", "train", out)
