"""The main job on the sandbox, the way an agent does it: a real MCP client over stdio."""

import asyncio
import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from kie_runway.terminal import open_console

WAIT_S = 45
_INHERITED = ("KIE_HOME", "KIE_OUTPUT_DIR")  # where videos go; nothing else may bend the demo
EXTEND_PROMPT = "The boat reaches the river and sails into the morning fog"
ALEPH_PROMPT = "Turn the clip into a watercolour painting"


class DemoFailedError(Exception):
    """A step returned an error; its text says which."""


def run_demo(prompt: str) -> int:
    """
    Generate, extend, restyle and save, printing what each step returned.

    Returns:
        The exit code: 0, or 1 when a step failed.
    """
    console = open_console()
    return asyncio.run(_Demo(console).run(prompt))


class _Demo:
    def __init__(self, console: Console) -> None:
        self._console = console
        # Lines end at words on a terminal, and are left whole elsewhere.
        self._say = partial(console.print, soft_wrap=not console.is_terminal)

    async def run(self, prompt: str) -> int:
        """The exit code."""
        self._say("[bold]kie-runway-mcp demo[/bold]: sandbox only, no key, no network, no money.\n")
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "kie_runway", "serve", "--sandbox"],
            env={name: os.environ[name] for name in _INHERITED if name in os.environ}
            | {"KIE_LOG_LEVEL": "ERROR"},  # what it mends by itself is no news
        )
        async with Client(parameters) as client:
            try:
                await self._journey(client, prompt)
            except DemoFailedError as exc:
                self._say("[red]The demo stopped.[/red]", escape(str(exc)), soft_wrap=True)
                return 1
        return 0

    async def _journey(self, client: Client, prompt: str) -> None:
        say = self._say
        credits = await self._call(client, "get_credits")
        say(f"Balance: {credits['credits']:g} credits (play money).\n")
        first = await self._step(client, "1. Text to video", "generate_video", {"prompt": prompt})
        longer = await self._step(
            client,
            "2. Extend it",
            "extend_video",
            {"task_id": first["task_id"], "prompt": EXTEND_PROMPT},
        )
        painted = await self._step(
            client,
            "3. Restyle it with Aleph",
            "aleph_generate",
            {"video_url": first["video_url"], "prompt": ALEPH_PROMPT},
        )
        credits = await self._call(client, "get_credits")
        say(f"Balance: {credits['credits']:g} credits.\n\n[bold]Your videos[/bold]")
        for task in (first, longer, painted):
            say(f"  {escape(task['file'])}", soft_wrap=True)

    async def _step(
        self, client: Client, title: str, tool: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Start a task, wait for its end, save its video."""
        say = self._say
        say(f"[bold]{title}[/bold]")
        task = await self._call(client, tool, arguments)
        say(f"  {tool}: task {task['task_id']}, about {task['credits']:g} credits.")
        task = await self._wait(client, task)
        say(f"  {task['kind']}: [green]{task['state']}[/green].")
        task = await self._call(client, "save_video", {"task_id": task["task_id"]})
        say("  save_video: saved.\n")
        return task

    async def _wait(self, client: Client, task: dict[str, Any]) -> dict[str, Any]:
        tool = "aleph_get_task" if task["kind"] == "aleph" else "get_task"
        columns = (
            TextColumn("  waiting:"),
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as progress:
            bar = progress.add_task(task["state"], total=None)

            async def show(waited_s: float, total: float | None, state: str | None) -> None:
                progress.update(bar, description="saving" if state == "success" else state or "")

            arguments = {"task_id": task["task_id"], "wait_seconds": WAIT_S}
            while task["state"] not in ("success", "fail", "rejected", "expired"):
                task = await self._call(client, tool, arguments, show)
        return task

    async def _call(
        self,
        client: Client,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        progress: Any = None,
    ) -> dict[str, Any]:
        result: CallToolResult = await client.call_tool(
            tool, dict(arguments or {}), progress_callback=progress
        )
        if result.is_error:
            text = " ".join(block.text for block in result.content if block.type == "text")
            raise DemoFailedError(f"{tool}: {text}")
        return cast("dict[str, Any]", result.structured_content)
