"""The command line. Every command is a thin layer over one public function."""

import argparse
import sys

import tyro

from qgf.cli.analyse import analyse
from qgf.cli.collect import collect
from qgf.cli.compare import compare
from qgf.cli.demo import demo
from qgf.cli.evaluate import evaluate
from qgf.cli.report import report
from qgf.cli.train import train_command
from qgf.cli.tune import tune
from qgf.cli.tutorial import tutorial
from qgf.errors import UserError
from qgf.training.methods.bc import BC
from qgf.training.options import make_method

COMMANDS = dict(
    demo=demo,
    collect=collect,
    train=train_command(BC()),
    evaluate=evaluate,
    tune=tune,
    compare=compare,
    analyse=analyse,
    report=report,
    tutorial=tutorial,
)


def _choose_method(arguments):
    """Take `--use FILE`, `--method NAME` and `--critic NAME` out: (the method with its critic, the other arguments)."""
    from qgf.plugins import use

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--method", default="bc")
    parser.add_argument("--critic")
    parser.add_argument("--use", action="append", default=[])
    chosen, others = parser.parse_known_args(arguments)
    for file in chosen.use:
        use(file)
    return make_method(chosen.method, chosen.critic), others


def main(arguments=None):
    """Entry point of `qgf`. A user's mistake is one line on stderr and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        method, arguments = _choose_method(arguments)
        commands = COMMANDS | dict(train=train_command(method))
        tyro.extras.subcommand_cli_from_dict(commands, prog="qgf", args=arguments, description=_DESCRIPTION)
    except UserError as error:
        print(f"qgf: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nqgf: interrupted; the same command continues where it stopped", file=sys.stderr)
        raise SystemExit(130) from None


_DESCRIPTION = (
    "Q-guided flow: improve a flow policy at test time with a critic's gradient. Estimators and training methods of "
    "your own: qgf --use FILE.py COMMAND ..."
)
