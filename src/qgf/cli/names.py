"""`qgf names`: Guides, schedules, fallbacks, methods, critics, networks, encoders, readers, loggers, engines; yours."""

from importlib import import_module

import tyro

from qgf.cli.printing import print_table
from qgf.errors import unknown

KINDS = {
    "guide": "qgf.method.guides:GUIDES",
    "schedule": "qgf.method.schedules:SCHEDULES",
    "fallback": "qgf.method.choosing:FALLBACKS",
    "method": "qgf.training.methods:METHODS",
    "critic": "qgf.critics:CRITICS",
    "network": "qgf.networks:NETWORKS",
    "encoder": "qgf.networks:ENCODERS",
    "reader": "qgf.data.readers:READERS",
    "family": "qgf.environments:FAMILIES",
    "controller": "qgf.environments:CONTROLLERS",
    "logger": "qgf.training.loggers:LOGGERS",
    "engine": "qgf.laboratory.engines:ENGINES",
}


def names(kinds: tyro.conf.Positional[tuple[str, ...]] = (), /):
    """List everything that an option can name, with a line about each; with --use FILE what that file adds, too.

    Args:
        kinds: What to list, in the singular, as in `qgf names guide`; by default all of them.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of name", kind, KINDS)
    for kind in kinds or KINDS:
        print_table((kind, ""), summaries(kind).items(), words=2)


def summaries(kind: str) -> dict[str, str]:
    """What each name of a kind means, the beginning of its docstring."""
    module, registry = KINDS[kind].split(":")
    return getattr(import_module(module), registry).summaries()
