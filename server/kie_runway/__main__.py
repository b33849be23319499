"""`python -m kie_runway` is `kie-runway-mcp`."""

from kie_runway.cli import main

main()
