"""The commands that people type."""

from typing import Annotated

import typer

from kie_runway import serving

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
    app.command()(serve)
    app.command()(demo)
    app.command()(sandbox)
    return app


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
) -> None:
    """Serve MCP on stdio, or with --http at http://127.0.0.1:8000/mcp."""
    raise typer.Exit(serving.serve(http=http, host=host, port=port, sandbox=sandbox, speed=speed))


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


def _require_sandbox() -> None:
    if missing := serving.missing_for_sandbox():
        typer.echo(missing, err=True)
        raise typer.Exit(serving.EXIT_USAGE)
