"""Hostile files: real artefacts of every kind, changed by chance, and what reading them does.

`python -m hostile --inputs 5000` from the folder of tests, `make hostile`, prints the whole table.
"""
