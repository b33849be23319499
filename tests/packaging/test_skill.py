"""The skill: short, of the right form, and true of the tools."""

import json
import re
from typing import Any

import pytest
import yaml
from tests.packaging.told import ROOT

from kie_runway.models import PROBABLY_NOT_CREATED, TaskState
from kie_runway.server import INSTRUCTIONS
from kie_runway.settings import MAX_WAIT_S
from kie_runway_tools import guide
from kie_runway_tools.catalog import build_tools

SKILL = ROOT / "skills" / "kie-runway" / "SKILL.md"
GUIDE = ROOT / "tools" / "kie_runway_tools" / "guide.md"
MAX_LINES = 120
SENTENCE_MIN_WORDS = 5
RESOURCES = {guide.URI, "kie://pricing"}
EXAMPLES = {"boat-1", "file://"}


def parts() -> tuple[dict[str, Any], str]:
    """The frontmatter and the text."""
    _, front, body = SKILL.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def words_of(schema: object) -> set[str]:
    """Names and allowed values in a JSON schema."""
    words: set[str] = set()

    def note(part: dict[str, Any]) -> dict[str, Any]:
        words.update(part.get("properties", {}), map(str, part.get("enum", ())))
        return part

    json.loads(json.dumps(schema), object_hook=note)
    return words


def sentences(text: str) -> set[str]:
    """Those that are long enough to be one's own, without marks."""
    plain = re.sub(r"[^\w\s.!?:;|]", "", text.lower())
    split = (" ".join(one.split()) for one in re.split(r"[.!?:;|\n]", plain))
    return {one for one in split if len(one.split()) >= SENTENCE_MIN_WORDS}


def test_its_head_says_what_it_is_for_and_when() -> None:
    front, _ = parts()

    assert front["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", front["name"])
    assert "Use when" in front["description"]
    assert len(front["description"]) <= 1024
    assert len(SKILL.read_text(encoding="utf-8").splitlines()) < MAX_LINES


def test_every_name_and_value_in_it_exists() -> None:
    _, body = parts()
    tools = build_tools(MAX_WAIT_S)
    known = {tool.name for tool in tools} | set(TaskState) | RESOURCES | EXAMPLES
    for tool in tools:
        known |= {*words_of(tool.parameters), *words_of(tool.output_schema)}

    assert set(re.findall(r"`([^`]+)`", body)) <= known


def test_what_it_says_of_arguments_is_so() -> None:
    _, body = parts()
    arguments = {tool.name: set(tool.parameters["properties"]) for tool in build_tools(MAX_WAIT_S)}

    assert [name for name, names in arguments.items() if "seed" in names] == ["aleph_generate"]
    assert not {"duration", "aspect_ratio"} & arguments["extend_video"]
    assert {"task_id", "prompt"} <= arguments["extend_video"]
    assert "reference_image_url" in arguments["aleph_generate"]
    assert "confirm" in arguments["generate_video"]
    assert f"{PROBABLY_NOT_CREATED.total_seconds() / 60:.0f} minutes" in body


@pytest.mark.parametrize(
    "other", [GUIDE.read_text(encoding="utf-8"), INSTRUCTIONS], ids=["guide", "instructions"]
)
def test_it_repeats_no_sentence(other: str) -> None:
    _, body = parts()

    assert not sentences(body) & sentences(other)
