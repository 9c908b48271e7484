"""Kills at the n-th file operation of every command that writes, and what comes of it when the command is called again.

`python -m storm` (`make storm`) tries every operation; `test_storm.py` a few of each command.
"""
