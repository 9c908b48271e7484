"""`qgf train`: Train a flow policy and a critic; continues a run that was interrupted."""

import argparse
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import tyro

from qgf.cli.data import Where
from qgf.cli.names import summaries
from qgf.cli.printing import bar, closing, console
from qgf.data.labels import Rewarded
from qgf.errors import Caution, UserError


def command(arguments):
    """`qgf train` for what --preset, --method and --critic name, the arguments without them, and what --help says at
    its top.
    """
    from qgf.training.config import configured

    parser = argparse.ArgumentParser(prog="qgf train", add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    parser.add_argument("--method", default="bc")
    parser.add_argument("--critic")
    known, others = parser.parse_known_args(arguments)
    chosen = configured(known.preset, known.method, known.critic)
    return train_command(chosen), others, _description(chosen.method)


def train_command(chosen):
    """`qgf train` with these settings for what is not given, and the options of their method and its critic."""
    from qgf.training.config import TrainConfig

    def train(
        dataset: tyro.conf.Positional[str],
        /,
        config: tyro.conf.OmitArgPrefixes[TrainConfig] = chosen,
        method: tyro.conf.OmitArgPrefixes[Any] = chosen.method,
        out: Optional[Path] = None,
        flow: Optional[Path] = None,
        critic_from: Optional[Path] = None,
        data_dir: Where = None,
        obs_keys: tuple[str, ...] = (),
        labels: Optional[Path] = None,
        rewards: Optional[Rewarded] = None,
        held_out: Optional[float] = None,
        log: tuple[str, ...] = (),
        keep: int = 2,
        eval_every: Optional[int] = None,
        eval_episodes: int = 20,
        eval_by_data: bool = False,
        patience: Optional[int] = None,
        env: Optional[str] = None,
        success: str = "",
        memory: Optional[str] = None,
        coordinator: Optional[str] = None,
        process: str = "",
        overwrite: bool = False,
    ):
        """Train a flow policy by cloning and a critic by TD; continues a run that was interrupted, to the bit.

        Args:
            dataset: The data to train on: an .npz file, an OGBench single-task name such as
                pointmaze-medium-navigate-singletask-task1-v0, or for --method gc an oraclerep name such as
                pointmaze-medium-navigate-oraclerep-v0.
            out: The run's directory, by default runs/NAME.
            flow: A run whose cloned flow is reused as it is, so that only a critic is trained.
            critic_from: A run whose critic is reused as it is.
            data_dir: The folder of datasets, by default $QGF_DATA or ~/.ogbench/data; or the data themselves, if they
                were moved since the run began.
            obs_keys: What observations are made of, where the data's format has them by name, in this order.
            labels: A file with a line per episode, 1 where it succeeded and 0 where not, for data without rewards.
            rewards: How rewards follow from success, of --labels, a column `success` or rewards of 0 and 1:
                until-success, -1 until then, an episode that failed is cut off (as where success is all that is known);
                success-to-go, 1 then and else 0, an episode that failed ends with nothing, so that Q is the discount to
                the power of the steps until success.
            held_out: The share of the episodes, as 0.2, that is not trained on but judged by (--eval-by-data, qgf
                sanity), for data without a NAME-val.npz: drawn at random, and the same ones again for these data.
            log: Loggers to write to besides metrics.csv.
            keep: Number of checkpoints to keep, the newest; `qgf export` makes a policy of any of them.
            eval_every: Play the policy, guided by QGF at the default strength, every so many updates, a multiple of
                --log-every: played.csv says how it did, and the best is kept in best/.
            eval_episodes: Number of episodes to play each time. They are those of `qgf tune`, not of `qgf evaluate`.
            eval_by_data: With --eval-every, play nothing: the best is that whose critic explains most of the held-out
                data (NAME-val.npz, or --held-out).
            patience: End training when so many evaluations in a row found no better policy.
            env: The environment of the data, if their name does not tell: what it takes scales actions, it is played
                while training, and by evaluate and tune where these are not told another.
            success: For --eval-every what success is, if the environment does not say: a key of info, or what one or
                the return has to reach, as in "return>=-200".
            memory: What the data may take on the device, as in 2GB: of more a window is held that moves through them.
                By default data in memory are held whole, and of record shards (`qgf data --convert`) as much as fits
                into a quarter of what is free.
            coordinator: Train together with other processes, each called with this command on its own machine, with
                --devices the number of all their devices and --out in a folder that all see: HOST:PORT of the first,
                which writes and tells, or auto where SLURM or MPI started them.
            process: Which of them this is, I/N: 0/2 and 1/2 of two.
            overwrite: Delete what the run's directory holds and start again.
        """
        from qgf.cli.evaluate import environment_of
        from qgf.data.dataset import expendable
        from qgf.environments.datasets import fitted, load_dataset

        _joined(coordinator, process)
        loaded = load_dataset(dataset, data_dir, keys=obs_keys, labels=labels, rewards=rewards, held_out=held_out)
        loaded = expendable(fitted(loaded, env) if env else loaded)
        run = run_training(
            loaded, replace(config, method=method), out, flow=flow, critic_from=critic_from, log=log, keep=keep,
            eval_every=eval_every, eval_episodes=eval_episodes, patience=patience, by_data=eval_by_data, env=env,
            success=success, memory=memory, overwrite=overwrite,
        )  # fmt: skip
        played = ("evaluate", run.directory, "--guide", "none", "ood", "qgf", "--best-of", 1, 4)
        closing(f"wrote {run.directory}", *(played if environment_of(run) else ("analyse", run.directory)))

    return train


def _joined(coordinator: Optional[str], process: str) -> None:
    """Be one of several processes, of which the first alone tells what happens."""
    from qgf.training.devices import first, join

    if coordinator is None:
        if process:
            raise UserError(f"--process {process}: needs the --coordinator HOST:PORT of the first")
        return
    join(coordinator, process)
    if not first():
        console.quiet = True
        warnings.simplefilter("ignore", Caution)


def _description(method):
    from qgf.training.config import PRESETS

    presets = (f"  {name:12}{' '.join(f'{k} {x:g}' for k, x in values.items())}" for name, values in PRESETS.items())
    listed = lambda kind: "\n".join(f"  {name:12}{line}" for name, line in summaries(kind).items())
    return f"""Train a flow policy by cloning and a critic by TD; continues a run that was interrupted, to the bit.

Below are the options of --method {method.name} --critic {method.critic.name}; name others, and --help shows theirs.

Presets (--preset; what is given besides is as given):
{chr(10).join(presets)}

Methods:
{listed("method")}

Critics:
{listed("critic")}

Loggers:
{listed("logger")}"""


def run_training(dataset, config, out=None, **options):
    """`qgf.train` with a progress bar."""
    from qgf.data.doctor import examine, summary, suspicions
    from qgf.method.strength import told
    from qgf.playing.train import train as run
    from qgf.training.validation import verdicts

    seen = examine(dataset, config.horizon)
    shown = summary(seen)[: 2 if suspicions(seen, sensors=False) else 3]  # training itself says what is suspicious
    console.print("\n".join([f"{dataset.name}: {shown[0]}", *shown[1:]]))
    for note in (*dataset.notes, *filter(None, [dataset.scaling])):
        console.print(f"read so: {note}")
    with bar("training", "updates") as tell:
        found = ""

        def progress(step, logs):
            nonlocal found
            if "played/success" in logs:
                found = f", {100 * logs['played/success']:.0f} % solved after {step}"
            elif "played/return" in logs:
                found = f", return {logs['played/return']:.1f} after {step}"
            elif "played/explained" in logs:
                found = f", {100 * logs['played/explained']:.0f} % explained after {step}"
            tell(step, config.steps, f"{logs['updates_per_second']:.0f}/s{found}")

        made = run(dataset, config, out, progress=progress, tell=console.print, **options)
    for line in dict.fromkeys(line for seed in range(config.seeds) for line in verdicts(made.played(seed))):
        console.print(line)
    trained = made.trained()
    if (scales := trained.calibration) and 0 < scales.grad_norm < math.inf and math.isfinite(scales.sigma):
        console.print(told(scales, trained.spec.d))
    return made
