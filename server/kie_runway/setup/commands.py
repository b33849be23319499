"""The commands that put the server into clients, and take it out again."""

import math
from pathlib import Path
from typing import Annotated

import typer

from kie_runway import serving
from kie_runway.setup.clients import ClientName

Name = Annotated[ClientName, typer.Argument(metavar="CLIENT", help="|".join(ClientName))]
Project = Annotated[
    bool, typer.Option("--project", help="For the project in this directory alone.")
]


def add_commands(app: typer.Typer) -> None:
    """Add them to the program."""
    app.command()(install)
    app.command()(uninstall)


def install(
    client: Name,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="With the free stand-in: no key, no money.")
    ] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Only show what would be written, without a key.")
    ] = False,
    project: Project = False,
    output_dir: Annotated[
        Path | None, typer.Option(help="Where videos are saved.", show_default=False)
    ] = None,
    daily_credits: Annotated[
        float | None,
        typer.Option(min=0, help="Most credits that any 24 hours may cost.", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace another entry of the same name.")
    ] = False,
) -> None:
    """
    Put this server into the configuration of an MCP client.

    All else in its file stays, and so does a copy. The key is written only if it must be.
    """
    from kie_runway.setup.entry import Wish
    from kie_runway.setup.install import install

    if sandbox and (missing := serving.missing_for_sandbox()):
        typer.echo(missing, err=True)
        raise typer.Exit(serving.EXIT_USAGE)
    if daily_credits is not None and not math.isfinite(daily_credits):
        raise typer.BadParameter("must be a number", param_hint="--daily-credits")
    directory = None if output_dir is None else str(output_dir.expanduser().absolute())
    if directory is not None and not directory.isprintable():
        raise typer.BadParameter("has characters that no file can hold", param_hint="--output-dir")
    wish = Wish(sandbox, directory, daily_credits)
    raise typer.Exit(install(client, wish, project=project, print_only=print_only, force=force))


def uninstall(
    client: Name,
    project: Project = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also another entry of the same name.")
    ] = False,
) -> None:
    """Take it out again: what install added, and nothing else."""
    from kie_runway.setup.install import uninstall

    raise typer.Exit(uninstall(client, project=project, force=force))
