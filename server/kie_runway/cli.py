"""The command `kie-runway-mcp`: without arguments, MCP on stdio at once; else the commands."""

import gc
import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] in ([], ["serve"]):
        # What clients start, often: the way that imports nothing for humans. An import leaves
        # much that stays and nothing to collect: looking for it took a tenth of the start.
        gc.disable()
        from kie_runway.serving import serve

        gc.freeze()  # nor is what stays for good looked through ever after
        gc.enable()
        sys.exit(serve())
    from kie_runway.commands import build_commands

    build_commands()()
