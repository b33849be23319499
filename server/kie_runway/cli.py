"""The command `kie-runway-mcp`: without arguments, MCP on stdio at once; else the commands."""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] in ([], ["serve"]):
        # What clients start, often: the way that imports nothing for humans.
        from kie_runway.serving import serve

        sys.exit(serve())
    from kie_runway.commands import build_commands

    build_commands()()
