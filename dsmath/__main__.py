"""`python -m dsmath`."""

from dsmath.cli import main

main()
