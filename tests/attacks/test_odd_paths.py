"""Names of files that are not UTF-8: told in time, and never the end of a server."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from tests.support import Era, connect, serve_sandbox
from tests.wire import RAW_ERAS, RawEra, Wire

from kie_runway.settings import Settings

ODD = os.fsdecode(b"h\xff")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file can have such a name"),
]


@pytest.mark.parametrize("name", ["HOME", "OUTPUT_DIR", "UPLOAD_ROOTS", "DATABASE_URL"])
def test_a_server_with_such_a_setting_refuses_to_start(tmp_path: Path, name: str) -> None:
    path = f"{'sqlite:///' * (name == 'DATABASE_URL')}{tmp_path / ODD}"
    with Wire(env={f"KIE_{name}": path}, stderr=tmp_path / "stderr") as wire:
        code = wire.end()
    said = (tmp_path / "stderr").read_text(encoding="utf-8")

    assert (code, wire.lines) == (2, [])
    assert said.startswith(f"KIE_{name}: ")
    assert "not valid UTF-8" in said or name == "DATABASE_URL"  # of which pydantic says it
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "stderr"]


@pytest.mark.parametrize("era", RAW_ERAS)
def test_a_server_whose_users_home_has_such_a_name_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, era: RawEra
) -> None:
    (tmp_path / ODD).write_bytes(b"in the way")
    monkeypatch.delenv("KIE_HOME")
    env = {"KIE_API_KEY": "sandbox-key", "XDG_DATA_HOME": str(tmp_path / ODD)}
    with Wire(era=era, env=env) as wire:
        wire.open()
        failed = wire.tool("generate_video", prompt="a boat")
        tools = wire.call("tools/list")["tools"]

    assert failed["error"]["code"] == "ledger_unavailable"
    assert "h\\udcff/kie-runway-mcp" in failed["error"]["reason"]
    assert tools


async def test_what_fails_because_of_such_a_name_is_told_in_text(tmp_path: Path, era: Era) -> None:
    videos = tmp_path / ODD
    videos.write_bytes(b"in the way")
    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"output_dir": videos})  # as if nobody had checked
        async with connect(settings, era) as agent:
            task = await agent.call("generate_video", prompt="a boat")
            sandbox.finish(task["task_id"])
            await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
            result: Any = await agent.client.call_tool("save_video", {"task_id": task["task_id"]})

    assert result.structured_content["error"]["code"] == "cannot_store"
    assert "h\\udcff" in result.structured_content["error"]["reason"]
    result.model_dump_json()


async def test_an_error_of_the_protocol_is_told_in_text(tmp_path: Path, era: Era) -> None:
    home = tmp_path / ODD
    home.write_bytes(b"in the way")
    settings = Settings().model_copy(update={"home": home})
    async with connect(settings, era) as agent:
        with pytest.raises(MCPError) as caught:
            await agent.client.read_resource("kie://tasks")

    assert "h\\udcff" in caught.value.error.message
    caught.value.error.model_dump_json()
