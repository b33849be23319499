"""Files that must not leave this machine, whoever asks for them and however."""

import base64
import os
import socket
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.types import ErrorData
from tests.attacks.kie import paid
from tests.journeys.processes import ACCEPT, http_server, standalone_sandbox
from tests.offered import Offered
from tests.pictures import MP4, TEXT, picture
from tests.support import KEY, Agent, Era, connect
from tests.wire import CLIENT, META, WITHIN_S, Message, RawEra, Wire, sandbox_env

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import FaultKind

pytestmark = pytest.mark.anyio

OUTSIDE = picture("PNG", "black")
VIDEO_URL = "https://media.example.com/in.mp4"
ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "path": ("upload_file", {}),
    "image_url": ("generate_video", {"prompt": "a", "request_id": "one"}),
    "video_url": ("aleph_generate", {"prompt": "a", "request_id": "one"}),
    "reference_image_url": (
        "aleph_generate",
        {"prompt": "a", "request_id": "one", "video_url": VIDEO_URL},
    ),
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Generator[Path]:
    """A directory that may be read, with traps in it, and files beside it that may not."""
    root = tmp_path / "root"
    for folder in ("root/folder", "root-evil", "beside"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(OUTSIDE)
    (root / "text.png").write_bytes(TEXT)
    (root / "dressed.png").write_bytes(b"\x89PNG\r\n\x1a\n" + TEXT)
    (root / "empty.png").touch()
    os.mkfifo(root / "fifo.png")
    (root / "environ.png").symlink_to("/proc/self/environ")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "link.png").symlink_to(tmp_path / "beside" / "a.png")
    (root / "nowhere.png").symlink_to(tmp_path / "beside" / "no-such.png")
    (root / "out").symlink_to(tmp_path / "beside")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        here = os.getcwd()
        os.chdir(root)  # a socket's name must be short
        try:
            listener.bind("socket.png")
        finally:
            os.chdir(here)
        yield root


OUT_OF_BOUNDS = (
    "/etc/passwd",
    "/etc/no-such-file",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "{place}/beside/a.png",
    "{place}/beside/no-such.png",
    "{place}/root-evil/a.png",
    "{place}/root/link.png",
    "{place}/root/nowhere.png",
    "{place}/root/out/a.png",
    "{place}/root/environ.png",
    "{place}/root/zero.png",
)
USELESS = (
    "{place}/root/../beside/a.png",
    "{place}/root/%2e%2e/beside/a.png",
    "{place}/root/folder",
    "{place}/root/fifo.png",
    "{place}/root/socket.png",
    "{place}/root/text.png",
    "{place}/root/dressed.png",
    "{place}/root/empty.png",
    "{place}/root/huge.png",
    "{place}/root/no-such.png",
    "{place}/root/a%00.png",
    "{place}/root/" + "x" * 300,
    "other.example{place}/root/folder/a.png",
)


def allowing(settings: Settings, *roots: Path) -> Settings:
    return settings.model_copy(update={"upload_roots": roots})


def uploads(sandbox: Sandbox) -> int:
    return len(sandbox.log.select("upload"))


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("by", ["settings", "client"])
async def test_no_file_outside_the_roots_leaves_and_none_is_told_from_a_missing_one(
    sandbox: Sandbox, settings: Settings, root: Path, era: Era, argument: str, by: str
) -> None:
    tool, others = ARGUMENTS[argument]
    said: set[str] = set()
    settings = allowing(settings, root) if by == "settings" else settings
    async with connect(settings, era, list_roots_callback=Offered([root])) as agent:
        for address in OUT_OF_BOUNDS:
            uri = f"file://{address.format(place=root.parent)}"
            error = (await agent.fail(tool, **others, **{argument: uri}))["error"]
            said.add(error["reason"])

            assert (error["code"], error["charged"]) == ("bad_input", "no"), address
        if argument == "path":
            for address in OUT_OF_BOUNDS:
                plain = await agent.fail(tool, path=address.format(place=root.parent))
                said.add(plain["error"]["reason"])
        listed = await agent.call("list_tasks")

    assert len(said) == 1
    assert listed["tasks"] == []
    assert (paid(sandbox), uploads(sandbox)) == (0, 0)


@pytest.mark.parametrize("argument", ARGUMENTS)
async def test_what_is_no_picture_or_video_costs_nothing_and_uses_nothing_up(
    sandbox: Sandbox, settings: Settings, root: Path, era: Era, argument: str
) -> None:
    tool, others = ARGUMENTS[argument]
    (root / "huge.png").write_bytes(picture() + bytes(10_000_000))
    async with connect(allowing(settings, root), era) as agent:
        for address in USELESS:
            uri = f"file://{address.format(place=root.parent)}"
            error = (await agent.fail(tool, **others, **{argument: uri}))["error"]

            assert (error["code"], error["charged"]) == ("bad_input", "no"), address
            assert f"`{argument}`" in error["reason"]
            assert str(root) not in error["reason"]
        assert (paid(sandbox), uploads(sandbox)) == (0, 0)
        if "request_id" in others:
            await agent.call("generate_video", prompt="another", request_id="one")


@pytest.mark.parametrize(
    ("argument", "content"),
    [("image_url", MP4), ("video_url", picture()), ("reference_image_url", MP4)],
)
async def test_the_wrong_kind_of_file_is_refused_before_it_is_uploaded_or_paid_for(
    sandbox: Sandbox, settings: Settings, root: Path, era: Era, argument: str, content: bytes
) -> None:
    tool, others = ARGUMENTS[argument]
    (root / "file").write_bytes(content)
    async with connect(allowing(settings, root), era) as agent:
        uri = (root / "file").as_uri()
        error = (await agent.fail(tool, **others, **{argument: uri}))["error"]

    assert f"`{argument}` takes" in error["reason"]
    assert (paid(sandbox), uploads(sandbox)) == (0, 0)


@pytest.mark.parametrize(
    "address", ["/etc/passwd", "folder/a.png", "~/a.png", "FILE:///a.png", "C:\\a.png", "\\\\a\\b"]
)
@pytest.mark.parametrize("argument", ["image_url", "video_url", "reference_image_url"])
async def test_an_address_that_is_a_plain_path_is_refused_with_the_way_to_go(
    sandbox: Sandbox, settings: Settings, root: Path, argument: str, address: str
) -> None:
    tool, others = ARGUMENTS[argument]
    async with connect(allowing(settings, root)) as agent:
        error = (await agent.fail(tool, **others, **{argument: address}))["error"]

    assert "file:// URI" in error["reason"]
    assert "upload_file" in error["reason"]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"path": "/a", "data": "AA=="}, {"file_name": "a.png"}],
    ids=["nothing", "both", "a name alone"],
)
async def test_an_upload_takes_one_file(
    settings: Settings, era: Era, arguments: dict[str, str]
) -> None:
    async with connect(settings, era) as agent:
        error = (await agent.fail("upload_file", **arguments))["error"]

    assert error["code"] == "bad_input"


async def test_without_roots_no_local_file_is_read(
    sandbox: Sandbox, settings: Settings, root: Path, era: Era
) -> None:
    refused = Offered(error=ErrorData(code=-32603, message="the user declined"))
    abilities: list[dict[str, Any]] = [{}, {"list_roots_callback": Offered()}]
    if era == "legacy":  # on the newer protocol such a client breaks its own call off
        abilities.append({"list_roots_callback": refused})
    for ability in abilities:
        async with connect(settings, era, **ability) as agent:
            for argument, (tool, others) in ARGUMENTS.items():
                uri = (root / "folder" / "a.png").as_uri()
                error = (await agent.fail(tool, **others, **{argument: uri}))["error"]

                assert (error["code"], error["retry"]) == ("no_upload_roots", "ask_user")
                assert "KIE_UPLOAD_ROOTS" in error["reason"]
                assert error["charged"] == "no"

    assert (paid(sandbox), uploads(sandbox)) == (0, 0)


async def test_a_client_is_asked_for_its_roots_only_for_a_local_file(
    settings: Settings, root: Path, era: Era
) -> None:
    offered = Offered([root])
    data = base64.b64encode(picture()).decode()
    async with connect(settings, era, list_roots_callback=offered) as agent:
        await agent.call("upload_file", data=data)
        await agent.call("generate_video", prompt="file:///a")
        await agent.call("generate_video", prompt="b", image_url="https://media.example.com/a.png")
        await agent.call("aleph_generate", prompt="c", video_url=VIDEO_URL)
        await agent.fail("generate_video", prompt="d", image_url="/etc/passwd")
        await agent.call("list_tasks")

        assert offered.asked == 0
        await agent.call("upload_file", path=str(root / "folder" / "a.png"))
        assert offered.asked == 1
    async with connect(
        allowing(settings, root), era, list_roots_callback=(unasked := Offered([Path("/")]))
    ) as agent:
        await agent.call("upload_file", path=str(root / "folder" / "a.png"))

    assert unasked.asked == 0


async def test_a_failed_upload_charges_nothing_and_leaves_the_request_id_free(
    sandbox: Sandbox, settings: Settings, root: Path, era: Era
) -> None:
    uri = (root / "folder" / "a.png").as_uri()
    call = {"prompt": "a boat", "request_id": "one", "image_url": uri}
    async with connect(allowing(settings, root), era) as agent:
        kinds: tuple[FaultKind, ...]
        kinds = ("lost_answer", "html_502", "not_json", "cdn_403", "reset_before")
        for kind in kinds:
            sandbox.inject(Fault(kind, "file-stream-upload"))
            error = (await agent.fail("generate_video", **call))["error"]

            assert error["charged"] == "no"
            assert "this call started nothing" in error["reason"]
        assert (await agent.call("list_tasks"))["tasks"] == []
        task = await agent.call("generate_video", **call)

    assert task["charged"] == "yes"
    assert paid(sandbox) == 1


async def test_over_http_the_roots_of_a_client_open_nothing_here(root: Path, era: Era) -> None:
    """They describe the client's machine; only the settings of this one count."""
    offered = Offered([Path("/")])
    with standalone_sandbox() as kie, http_server(env=kie.env) as server:
        async with Client(server.url, mode=era, list_roots_callback=offered) as client:
            for argument, (tool, others) in ARGUMENTS.items():
                uri = (root / "folder" / "a.png").as_uri()
                error = (await Agent(client).fail(tool, **others, **{argument: uri}))["error"]

                assert error["code"] == "no_upload_roots"
        made = kie.events("upload") + kie.events("create")

    assert offered.asked == 0
    assert made == []


async def test_a_body_larger_than_any_file_is_turned_away_over_http() -> None:
    nowhere = sandbox_env("http://127.0.0.1:9")
    with http_server(env=nowhere) as server:
        async with httpx.AsyncClient(headers=ACCEPT, timeout=WITHIN_S) as http:
            answer = await http.post(server.url, content=bytes(16 * 1024 * 1024 + 1))
        async with Client(server.url) as client:
            await Agent(client).call("list_tasks")

    assert answer.status_code == 413


RUBBISH: dict[str, Message] = {
    "no roots at all": {"nothing": 1},
    "roots of another kind": {"roots": "/"},
    "web addresses": {"roots": [{"uri": "https://example.com/"}]},
    "paths": {"roots": [{"uri": "/"}]},
    "another answer": {"action": "accept", "content": {}},
    "another machine": {"roots": [{"uri": "file://other.example/"}]},
}


@pytest.mark.parametrize("answer", RUBBISH.values(), ids=RUBBISH)
@pytest.mark.parametrize("raw_era", ["legacy", "modern"])
def test_a_client_that_answers_rubbish_is_refused_and_served_on(
    root: Path, raw_era: RawEra, answer: Message
) -> None:
    roots: Message = {"roots": {}}
    ask = {"name": "upload_file", "arguments": {"path": str(root / "folder" / "a.png")}}
    nowhere = sandbox_env("http://127.0.0.1:9")
    with Wire(era=raw_era, env=nowhere) as wire:
        if raw_era == "legacy":
            hello = {"protocolVersion": "2025-11-25", "capabilities": roots, "clientInfo": CLIENT}
            wire.call("initialize", hello)
            wire.write({"jsonrpc": "2.0", "method": "notifications/initialized"})
            number = wire.ask("tools/call", ask)
            question = wire.notification("roots/list")
            wire.write({"jsonrpc": "2.0", "id": question["id"], "result": answer})
            said = wire.answer(number)
        else:
            meta = META | {"io.modelcontextprotocol/clientCapabilities": roots}
            first = wire.call("tools/call", ask | {"_meta": meta})
            (key,) = first["inputRequests"]
            again = {"inputResponses": {key: answer}, "requestState": first["requestState"]}
            said = wire.answer(wire.ask("tools/call", ask | {"_meta": meta} | again))
        wire.tool("list_tasks")

    if "result" in said:
        assert said["result"]["isError"]
    else:
        assert said["error"]["code"] == -32602
    assert str(root) not in str(said)
    assert KEY not in str(said)
