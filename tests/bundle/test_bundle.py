"""The bundle, installed and driven as Claude Desktop and an agent do it."""

from importlib.metadata import version
from pathlib import Path

import anyio
import pytest
from mcp import Client
from tests.bundle.desktop import Installed
from tests.journeys.processes import Standalone
from tests.pictures import picture
from tests.support import ERAS, Agent, Era, structured, text_of
from tests.wire import SANDBOX_KEY

pytestmark = pytest.mark.anyio

WITHIN_S = 300  # the first start installs what the server needs
CLIP = {"prompt": "a paper boat drifts down a gutter", "request_id": "boat"}


def put_pictures(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / "boat.png").write_bytes(picture())


def is_video(path: Path) -> bool:
    return path.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("era", ERAS)
async def test_it_offers_what_its_manifest_promises(installed: Installed, era: Era) -> None:
    with anyio.fail_after(WITHIN_S):
        async with Client(installed.server(api_key=SANDBOX_KEY), mode=era) as client:
            tools = (await client.list_tools()).tools
            prompts = (await client.list_prompts()).prompts
            info = client.server_info
    manifest = installed.manifest

    assert info is not None
    assert (info.name, info.version) == (manifest["name"], manifest["version"])
    assert manifest["version"] == version("kie-runway-mcp")
    assert manifest["tools"] == [
        {"name": tool.name, "description": " ".join((tool.description or "").split())}
        for tool in tools
    ]
    assert [(one["name"], one["arguments"]) for one in manifest["prompts"]] == [
        (prompt.name, [one.name for one in prompt.arguments or [] if one.required])
        for prompt in prompts
    ]


@pytest.mark.parametrize(
    ("era", "chosen"), [("auto", None), ("legacy", "Meine Filme")], ids=["default", "chosen"]
)
async def test_a_video_is_made_seen_and_saved_in_the_users_folder(
    installed: Installed, kie: Standalone, era: Era, chosen: str | None
) -> None:
    filled_in = {"output_dir": str(installed.home / chosen)} if chosen else {}
    server = installed.server(variables=kie.env, api_key=SANDBOX_KEY, **filled_in)
    with anyio.fail_after(WITHIN_S):
        async with Client(server, mode=era) as client:
            agent = Agent(client)
            made = await agent.call("generate_video", **CLIP)
            looked = {"task_id": made["task_id"], "wait_seconds": 45}
            done = await client.call_tool("get_task", looked)
            saved = await agent.call("save_video", task_id=made["task_id"])
    file = Path(saved["file"])

    assert structured(done)["state"] == "success"
    assert [block.type for block in done.content] == ["text", "image"]
    assert file.parent == installed.home / (chosen or "Videos/KIE Runway")
    assert is_video(file)


async def test_the_budget_of_the_form_is_kept(installed: Installed, kie: Standalone) -> None:
    server = installed.server(variables=kie.env, api_key=SANDBOX_KEY, daily_credits=5)
    with anyio.fail_after(WITHIN_S):
        async with Client(server) as client:
            refused = await Agent(client).fail("generate_video", **CLIP)

    assert refused["error"]["code"] == "over_budget"


async def test_pictures_may_leave_the_folder_of_the_form_and_no_other(
    installed: Installed, kie: Standalone
) -> None:
    pictures = installed.home / "Bilder für KIE"
    put_pictures(pictures, installed.home)
    server = installed.server(variables=kie.env, api_key=SANDBOX_KEY, upload_roots=str(pictures))
    with anyio.fail_after(WITHIN_S):
        async with Client(server) as client:
            agent = Agent(client)
            uploaded = await agent.call("upload_file", path=str(pictures / "boat.png"))
            refused = await agent.fail("upload_file", path=str(installed.home / "boat.png"))

    assert uploaded["url"].startswith("http")
    assert refused["error"]["code"] == "bad_input"


async def test_claude_desktop_asks_for_the_key_before_it_starts_anything(
    installed: Installed,
) -> None:
    assert installed.resolved() is None
    assert installed.resolved(api_key="") is None


@pytest.mark.parametrize("left_out", ["", "${user_config.api_key}"])
async def test_without_a_key_it_starts_and_says_where_to_get_one(
    installed: Installed, left_out: str
) -> None:
    server = installed.server(api_key="of a client that asks for none")
    assert server.env is not None
    server.env["KIE_API_KEY"] = left_out
    with anyio.fail_after(WITHIN_S):
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            result = await client.call_tool("generate_video", CLIP)

    assert len(tools) == len(installed.manifest["tools"])
    assert structured(result)["error"]["code"] == "no_key"
    assert "https://kie.ai/api-key" in text_of(result)
