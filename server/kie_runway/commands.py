"""The commands that people type."""

from importlib import metadata
from typing import Annotated

import typer
from pydantic import ValidationError

from kie_runway import serving
from kie_runway.models import TaskState
from kie_runway.settings import Settings
from kie_runway.setup.commands import add_commands

DEMO_PROMPT = "A paper boat drifts down a rainy street at dusk, slow dolly, warm street lights"


def build_commands() -> typer.Typer:
    """All commands, ready to run."""
    app = typer.Typer(
        name="kie-runway-mcp",
        help="KIE.AI's Runway video API as an MCP server. Without a command: serve on stdio.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    app.command()(serve)
    app.command()(demo)
    app.command()(sandbox)
    tasks = typer.Typer(
        help="What was started, and what became of it; alone: list. Reads the ledger and changes "
        "nothing. A sandbox's tasks end with it.",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
    )
    tasks.callback()(list_unless_told)
    tasks.command("list")(list_tasks)
    tasks.command("show")(show_task)
    app.add_typer(tasks, name="tasks")
    add_commands(app)
    app.command()(doctor)
    return app


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kie-runway-mcp {metadata.version('kie-runway-mcp')}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself; each acts by its own callback."""


def serve(
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="Loopback address to bind.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the HTTP server; 0 takes a free one.")
    ] = 8000,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Against a free stand-in: no key, no money.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.1, help="How much faster than KIE the sandbox is.")
    ] = serving.SANDBOX_SPEED,
    callbacks_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Loopback port for KIE's callbacks beside stdio; 0: a free one."
        ),
    ] = None,
) -> None:
    """Serve MCP on stdio, or with --http at http://127.0.0.1:8000/mcp."""
    raise typer.Exit(
        serving.serve(
            http=http,
            host=host,
            port=port,
            sandbox=sandbox,
            speed=speed,
            callbacks_port=callbacks_port,
        )
    )


def demo(
    prompt: Annotated[str, typer.Argument(help="What the video shows.")] = DEMO_PROMPT,
) -> None:
    """Make, extend and restyle a video on the sandbox, and save it: free."""
    _require_sandbox()
    from kie_runway.demo import run_demo

    raise typer.Exit(run_demo(prompt))


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")
    ] = 8765,
    speed: Annotated[float, typer.Option(min=0.1, help="1 is as slow as KIE.")] = 1.0,
) -> None:
    """Run the stand-in for KIE alone, for anything that talks to KIE."""
    _require_sandbox()
    from kie_runway_sandbox import Sandbox, SandboxOptions, run

    try:
        with Sandbox(SandboxOptions(speed=speed)) as stand_in:
            run(stand_in, typer.echo, port=port)
    except OSError as exc:
        typer.echo(f"Port {port} cannot be used: {exc.strerror}.", err=True)
        raise typer.Exit(serving.EXIT_USAGE) from exc


def list_unless_told(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_tasks()


def list_tasks(
    state: Annotated[TaskState | None, typer.Option(help="Only tasks in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many tasks.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array; times in UTC.")] = False,
) -> None:
    """The latest tasks, newest first."""
    from kie_runway.task_report import list_tasks

    path = _settings().ledger_path
    raise typer.Exit(list_tasks(path, state=state, limit=limit, as_json=as_json))


def show_task(
    any_id: Annotated[str, typer.Argument(metavar="ID", help="A task_id or a request_id.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; times in UTC.")] = False,
) -> None:
    """All about one task, with its history."""
    from kie_runway.task_report import show_task

    raise typer.Exit(show_task(_settings().ledger_path, any_id, as_json=as_json))


def doctor(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Check against the free stand-in for KIE.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check key, KIE, directories, callbacks and clients; says how to mend what is wrong. Free."""
    if sandbox:
        _require_sandbox()
    from kie_runway.doctor.run import run_doctor

    raise typer.Exit(run_doctor(sandbox=sandbox, as_json=as_json))


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as exc:
        typer.echo(serving.explain_settings(exc), err=True)
        raise typer.Exit(serving.EXIT_USAGE) from exc


def _require_sandbox() -> None:
    if missing := serving.missing_for_sandbox():
        typer.echo(missing, err=True)
        raise typer.Exit(serving.EXIT_USAGE)
