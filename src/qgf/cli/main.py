"""The command line: finds the command and hands it its arguments. No command is imported but the one that runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from traceback import walk_tb
from types import ModuleType
from typing import NoReturn

import tyro

import qgf
from qgf.cli.printing import console, print_table
from qgf.errors import Caution, UserError, unknown
from qgf.signals import Terminated, terminable

COMMANDS = (
    "demo",
    "collect",
    "data",
    "features",
    "train",
    "evaluate",
    "tune",
    "compare",
    "analyse",
    "distil",
    "bench",
    "sanity",
    "report",
    "export",
    "serve",
    "ab",
    "verify",
    "status",
    "names",
    "tutorial",
)

"""Each is the module of this package, and the function in it, of that name."""

DESCRIPTION = "Q-guided flow: improve a flow policy at test time with a critic's gradient."


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `qgf`. A user's mistake is one line on stderr and exit status 2."""
    _prepare()
    try:
        with terminable(), warnings.catch_warnings():
            warnings.showwarning = _show
            _run(list(sys.argv[1:] if arguments is None else arguments))
            if sys.stdout is not None:
                sys.stdout.flush()
    except UserError as error:
        _end(2, str(error))
    except KeyboardInterrupt:
        _end(130, "interrupted; the same command continues where it stopped", "\n")
    except Terminated:
        _end(143, "terminated; the same command continues where it stopped", "\n")
    except BrokenPipeError:  # who reads what is printed has seen enough
        _end(141)
    except (RuntimeError, AssertionError) as error:
        if not _of_devices(error):
            raise
        asked, said = os.environ.get("JAX_PLATFORMS", ""), str(error).split("\n")[0] or "none is there"
        _end(2, f"JAX has no device for JAX_PLATFORMS={asked} ({said}); unset it for what there is")
    except OSError as error:  # a disk, a device or a right that the machine lacks
        where = f"{error.filename}: " if error.filename else ""
        _end(2, f"{where}{error.strerror or error}")


def _of_devices(error: BaseException) -> bool:
    """Whether JAX raised it while it looked for its devices, for which it has no error of its own."""
    if not os.environ.get("JAX_PLATFORMS"):
        return False
    names = {
        frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__) if "xla_bridge" in frame.f_code.co_filename
    }
    return "backends" in names


def _end(status: int, message: str = "", before: str = "") -> NoReturn:
    """Say why on stderr, if anybody listens there, and end with a status."""
    with suppress(OSError, ValueError):
        if message and sys.stderr is not None:
            print(f"{before}qgf: {message}", file=sys.stderr, flush=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # what is still to be printed has nowhere to go: Python would say so at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    raise SystemExit(status) from None


def _prepare() -> None:
    """What surrounds the command. Nothing that is opened takes the place of a closed standard stream, whose number
    libraries write to; and names that its encoding lacks are printed with escapes.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    os.environ["MPLBACKEND"] = "agg"  # figures become files; a notebook's way to show them need not be there
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show(message, category, filename, lineno, file=None, line=None):
    """What a user should know on a line of its own; what programmers should know as ever."""
    known = issubclass(category, Caution)
    sys.stderr.write(f"qgf: {message}\n" if known else warnings.formatwarning(message, category, filename, lineno))


def _at_home(argument: str) -> str:
    """A path of the user's home, which shells leave as it is behind a `=`: --out=~/run."""
    option, joint, path = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + joint + os.path.expanduser(path)


def _run(arguments: list[str]) -> None:
    files, arguments = _own_files([_at_home(argument) for argument in arguments])
    if not arguments or arguments[0] in ("-h", "--help"):
        return _overview()
    if arguments[0] == "--version":
        return console.print(f"qgf {qgf.__version__}")
    name, *rest = arguments
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    if files:
        from qgf.plugins import use

        for file in files:
            use(file)
    module, description = _module(name), None
    if name == "train":  # made for one training method, whose options it has
        command, rest, description = module.command(rest)
    else:
        command = getattr(module, name)
    tyro.cli(command, prog=f"qgf {name}", args=rest, description=description)


def _own_files(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Take every `--use FILE` out of the arguments."""
    parser = argparse.ArgumentParser(prog="qgf", add_help=False, allow_abbrev=False)
    parser.add_argument("--use", action="append", default=[])
    known, others = parser.parse_known_args(arguments)
    return known.use, others


def _module(name: str) -> ModuleType:
    return import_module(f"qgf.cli.{name}")


def _overview() -> None:
    """What `qgf --help` says."""
    console.print(f"usage: qgf [--use FILE.py] COMMAND ...\n\n{DESCRIPTION}\n")
    rows = [[name, (_module(name).__doc__ or "").partition(": ")[2].split("\n")[0]] for name in COMMANDS]
    print_table(("command", "what it does"), rows, words=2)
    console.print(
        "\n`qgf COMMAND --help` explains every option. --use FILE.py, anywhere on the line, first loads guides,\n"
        "methods and critics of your own; `qgf names` lists all there are. `qgf --version` tells the version."
    )
