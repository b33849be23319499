"""What results cost a model, in tokens: typical ones, and all of a journey."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mcp import Client
from mcp.types import CallToolResult
from tests.bench.report import Row, Section, at_most
from tests.bench.tokens import compact, count
from tests.support import Agent, connect, serve_sandbox, structured, text_of

from kie_runway.pace import Pace
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.faults import Fault

RESULT_TARGET = 160
JOURNEY_TARGET = 900
CALLS_TARGET = 6
PROMPT = (
    "A red fox trots through fresh snow at dawn, slow tracking shot at its eye level, soft light "
    "between birches, breath visible in the cold air, shallow depth of field."
)
HASTE = 15  # a second here is so many of the journey's: 3 s stand for the longest wait of 45 s
TASK_S = 180.0
SANDBOX_TASK_S = 60.0
_USUAL = (
    (re.compile(r"http://127\.0\.0\.1:\d+/media/"), "https://tempfile.aiquickdraw.com/r/"),
    (re.compile(r"/[^\s\"]*/videos/"), "/Users/maria/Library/Application Support/kie/videos/"),
    (re.compile(r"[0-9a-f]{32}"), "c0d088df35254cc3e7187fb7116b2efa"),
    (re.compile(r"r-[a-z0-9]{12}"), "r-82ucpukvunvg"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-21T13:28:42Z"),
)
RESULTS_HOW = (
    "Structured content as compact JSON, which some hosts put before the model, and the text, "
    f"which others do; the prompt has {len(PROMPT)} characters. A contact sheet adds about 1,570 "
    "tokens of image, once; it is not counted here."
)
JOURNEY_HOW = (
    f"A video that takes {TASK_S / 60:.0f} minutes, by a model that does what `next` says: "
    f"`generate_video`, then `get_task` until it is done and saved. On a clock {HASTE} times as "
    "fast, with `KIE_AUTOSAVE` as on stdio; over HTTP `save_video` is a seventh call."
)


def result_tokens() -> Section:
    """Tokens of typical results."""
    results = asyncio.run(_typical_results())
    texts = {f"{name}/json": compact(structured(result)) for name, result in results.items()}
    texts |= {f"{name}/text": text_of(result) for name, result in results.items()}
    counts = count({name: _usual(text) for name, text in texts.items()})
    rows: list[Row] = []
    for name, result in results.items():
        of_json, of_text = counts[f"{name}/json"], counts[f"{name}/text"]
        if "request_id" in structured(result):
            rows.append(at_most(name, of_json, RESULT_TARGET, digits=0))
        else:
            rows.append(Row(name, f"{of_json}"))
        rows.append(Row(f"{name}, text", f"{of_text}"))
    return Section("Tokens of results", RESULTS_HOW, rows)


async def _typical_results() -> dict[str, CallToolResult]:
    results: dict[str, CallToolResult] = {}
    async with _server_of_its_own() as (sandbox, settings), connect(settings) as agent:

        async def note(name: str, tool: str, **arguments: Any) -> dict[str, Any]:
            results[name] = await agent.client.call_tool(tool, arguments)
            return structured(results[name])

        task = await note("started", "generate_video", prompt=PROMPT)
        await note("going on", "get_task", task_id=task["task_id"])
        sandbox.finish(task["task_id"])
        await note("finished", "get_task", task_id=task["task_id"], wait_seconds=30)
        await note("saved", "save_video", task_id=task["task_id"])
        more = await note(
            "extension, started", "extend_video", task_id=task["task_id"], prompt="On"
        )
        sandbox.finish(more["task_id"])
        await note("extension, finished", "get_task", task_id=more["task_id"], wait_seconds=30)
        await note("extension, saved", "save_video", task_id=more["task_id"])
        failed = await agent.call("generate_video", prompt=f"{PROMPT} A cat.")
        sandbox.fail(failed["task_id"])
        await note("failed", "get_task", task_id=failed["task_id"], wait_seconds=30)
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        await note("unknown", "generate_video", prompt=f"{PROMPT} A dog.")
        await note("wrong argument", "generate_video", prompt="A dog.", duration=7)
        await note("credits", "get_credits")
        for number in range(10):
            await agent.call("generate_video", prompt=PROMPT, request_id=f"fox-{number}")
        await note("list of ten", "list_tasks")
    return results


def _usual(text: str) -> str:
    """A text with ids, times, addresses and paths as long as real ones, alike in every run."""
    for pattern, usual in _USUAL:
        text = pattern.sub(usual, text)
    return text


@asynccontextmanager
async def _server_of_its_own(**options: Any) -> AsyncGenerator[tuple[Sandbox, Settings]]:
    """A sandbox and settings whose ledger knows of nothing."""
    async with serve_sandbox(**options) as (sandbox, settings):
        with TemporaryDirectory() as home:
            yield sandbox, settings.model_copy(update={"home": Path(home)})


def journey_tokens() -> Section:
    """Calls and tokens from the wish to the saved video."""
    results = asyncio.run(_journey())
    texts = {f"{number}": compact(structured(result)) for number, result in enumerate(results)}
    texts |= {f"{number}/text": text_of(result) for number, result in enumerate(results)}
    counts = count({name: _usual(text) for name, text in texts.items()})
    of_text = sum(tokens for name, tokens in counts.items() if "/" in name)
    rows = [
        at_most("calls", len(results), CALLS_TARGET, digits=0),
        at_most("tokens of all results", sum(counts.values()) - of_text, JOURNEY_TARGET, digits=0),
        Row("tokens of all results, text", f"{of_text}"),
    ]
    return Section("Tokens of a journey", JOURNEY_HOW, rows)


async def _journey() -> list[CallToolResult]:
    speed = HASTE * SANDBOX_TASK_S / TASK_S
    async with _server_of_its_own(advance="time", speed=speed) as (_, settings):
        settings = settings.model_copy(update={"max_wait_s": 45 // HASTE, "autosave": True})
        server = create_server(settings, pace=Pace(scale=1 / HASTE))
        async with Client(server) as client:
            agent = Agent(client)
            results = [await agent.client.call_tool("generate_video", {"prompt": PROMPT})]
            task_id = structured(results[0])["task_id"]
            look = {"task_id": task_id, "wait_seconds": settings.max_wait_s}
            while "file" not in structured(results[-1]):
                results.append(await agent.client.call_tool("get_task", look))
    return results
