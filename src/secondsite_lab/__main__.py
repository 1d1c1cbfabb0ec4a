"""`python -m secondsite_lab`."""

from secondsite_lab.cli import main

main()
