"""`python -m qgf`."""

from qgf.cli.main import main

main()
