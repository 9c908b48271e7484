"""A logger: a function of the run's directory and configuration that returns one of step and numbers.

qgf --use examples/own/logger.py train DATASET --log lines
"""

import json

from qgf.training.loggers import LOGGERS


@LOGGERS
def lines(directory, config):
    """One line of JSON for each row of metrics.csv, in log.jsonl."""

    def log(step, numbers):
        with open(directory / "log.jsonl", "a") as file:
            print(json.dumps(dict(step=step) | numbers), file=file)

    return log
