"""`python -m handbench` is the command `handbench`."""

from handbench.cli import main

main()
