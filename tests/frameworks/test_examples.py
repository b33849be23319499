"""
Every example as its reader runs it, each with its framework installed as by `make frameworks`.

Only the model is not the real one, and the sandbox runs faster.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from jsonschema import Draft202012Validator
from tests.frameworks.journey import Seen, journey
from tests.frameworks.model import ScriptedModel, scripted_model
from tests.journeys.processes import http_server
from tests.wire import COMMAND

from kie_runway.settings import MAX_WAIT_S
from kie_runway_tools.catalog import build_tools

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / "build" / "frameworks"
SANDBOX = ("--sandbox", "--speed", "60")
WITHIN_S = 300
PRICE = 12  # of the one video that did not fail


@dataclass(frozen=True)
class Example:
    """A file, and where its framework is."""

    file: str
    framework: str
    hands: Literal["text", "JSON"] = "text"
    """How the model gets an answer that has no picture."""
    http: bool = False

    def __str__(self) -> str:
        return f"{self.file}, HTTP" if self.http else self.file

    def command(self) -> list[str]:
        """What runs it."""
        source, folder = ROOT / "examples" / self.file, INSTALLED / self.framework
        if not (folder / ".installed").exists():
            pytest.skip(f"needs {self.framework}: make frameworks")
        if source.suffix != ".mjs":
            return [str(folder / "bin" / "python"), str(source)]
        copy = folder / self.file  # Node looks for packages beside the file
        shutil.copyfile(source, copy)
        return [str(folder / "node_modules" / ".bin" / "node"), str(copy)]


EXAMPLES = (
    Example("openai_agents.py", "openai-agents"),
    Example("langchain_agent.py", "langchain"),
    Example("pydantic_ai_agent.py", "pydantic-ai", hands="JSON"),
    Example("pydantic_ai_agent.py", "pydantic-ai", hands="JSON", http=True),
    Example("llama_index_agent.py", "llama-index"),
    Example("fastmcp_client.py", "fastmcp"),
    Example("ai_sdk.mjs", "ai-sdk"),
)


@dataclass(frozen=True)
class Run:
    """What became of an example."""

    example: Example
    model: ScriptedModel
    seen: Seen
    done: subprocess.CompletedProcess[str]
    scratch: Path
    """Where the server kept what it deletes at its end."""


@pytest.fixture(name="run", scope="module", params=EXAMPLES, ids=str)
def _run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    example: Example = request.param
    command, home = example.command(), tmp_path_factory.mktemp("home")
    scratch = home / "scratch"
    scratch.mkdir()
    seen = Seen()
    with _server(example, home, scratch) as server, scripted_model(journey(seen)) as model:
        done = subprocess.run(  # returns when nobody holds the pipes: the server is gone as well
            [*command, *server],
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
            cwd=home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "OPENAI_API_KEY": "scripted",
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_BASE": model.url,  # LlamaIndex's name for it
                "OPENAI_AGENTS_DISABLE_TRACING": "1",  # it would report to OpenAI
            },
        )
    assert not model.refused, model.refused
    assert done.returncode == 0, done.stderr
    return Run(example, model, seen, done, scratch)


@contextmanager
def _server(example: Example, home: Path, scratch: Path) -> Generator[Sequence[str]]:
    """What to tell an example about its server: how to start it, or where it is."""
    env = {"KIE_HOME": str(home), "TMPDIR": str(scratch)}
    if example.http:
        with http_server(*SANDBOX, env=env) as server:
            yield [server.url]
    else:  # MCP clients hand few variables on
        yield [
            "env",
            *(f"{name}={value}" for name, value in env.items()),
            *COMMAND,
            "serve",
            *SANDBOX,
        ]


def test_the_model_is_offered_every_tool_as_it_is_listed(run: Run) -> None:
    ours = build_tools(MAX_WAIT_S)

    assert [tool.name for tool in run.model.tools] == [tool.name for tool in ours]
    for offered, tool in zip(run.model.tools, ours, strict=True):
        schema = offered.parameters
        Draft202012Validator.check_schema(schema)
        assert offered.description == tool.description
        assert list(schema["properties"]) == list(tool.parameters["properties"])
        assert set(schema.get("required", ())) == set(tool.parameters.get("required", ()))
        for name, argument in tool.parameters["properties"].items():
            described = schema["properties"][name].get("description", "")
            assert described == argument.get("description", "")
        if offered.strict:  # OpenAI's rules for it
            assert schema["additionalProperties"] is False
            assert set(schema["required"]) == set(schema["properties"])


def test_the_model_can_read_why_a_call_was_refused(run: Run) -> None:
    refused = run.seen.results["refused"]

    assert "`duration` must be 5 or 10." in refused.text
    assert "try again" not in refused.text.lower()


def test_the_model_can_read_why_a_video_failed(run: Run) -> None:
    failed = run.seen.results["failed"]

    assert "The prompt was refused by moderation." in failed.text
    assert "only if they agree to pay again" in failed.text
    assert "try again" not in failed.text.lower()


def test_three_identical_calls_are_charged_once(run: Run) -> None:
    assert len(run.seen.task_ids) == 3
    assert len(set(run.seen.task_ids)) == 1
    assert run.seen.spent == PRICE


def test_answers_come_as_text_or_as_json_and_never_as_both(run: Run) -> None:
    made = run.seen.results["made"].text

    if run.example.hands == "JSON":
        assert json.loads(made)["task_id"] == run.seen.task_ids[0]
    else:
        assert made.startswith(f"generate {run.seen.task_ids[0]}: ")
        assert "{" not in made


def test_the_model_sees_the_finished_video_once(run: Run) -> None:
    done, saved = run.seen.results["done"], run.seen.results["saved"]

    assert done.images
    assert all(image.startswith("data:image/") for image in done.images)
    assert "base64" not in done.text
    assert not saved.images


def test_the_example_prints_where_the_video_is(run: Run) -> None:
    assert run.done.stdout.strip() == f"It is at {run.seen.file}"
    assert Path(run.seen.file).read_bytes()[4:8] == b"ftyp"


def test_the_example_and_its_server_end_cleanly(run: Run) -> None:
    assert "Traceback" not in run.done.stderr
    assert not list(run.scratch.iterdir())
