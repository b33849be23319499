"""Local files as arguments: uploaded on the way, and never paid for twice."""

import base64
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult
from tests.journeys.processes import http_server, standalone_sandbox
from tests.offered import Offered
from tests.pictures import MP4, picture
from tests.support import ERAS, Agent, Era, connect, serve_sandbox, text_of
from tests.wire import COMMAND

from kie_runway import uploading
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]

USES = {
    "image/jpeg": (picture("JPEG"), "image_url of generate_video"),
    "image/png": (picture("PNG"), "reference_image_url of aleph_generate"),
    "image/webp": (picture("WEBP"), "reference_image_url of aleph_generate"),
    "video/mp4": (MP4, "video_url of aleph_generate"),
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    root = tmp_path / "my pictures"
    root.mkdir()
    (root / "cat.png").write_bytes(picture())
    return root


def allowing(settings: Settings, root: Path) -> Settings:
    return settings.model_copy(update={"upload_roots": (root,)})


def sent(sandbox: Sandbox, name: str = "imageUrl") -> list[str]:
    return [entry.details["body"][name] for entry in sandbox.log.select("create")]


def uploads(sandbox: Sandbox) -> int:
    return len(sandbox.log.select("upload"))


async def fetch(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        return await http.get(url)


@pytest.mark.parametrize("mime_type", USES)
@pytest.mark.parametrize("way", ["path", "uri", "data"])
async def test_an_upload_gives_an_address_that_serves_the_file(
    root: Path, era: Era, mime_type: str, way: str
) -> None:
    content, use = USES[mime_type]
    file = root / "file.bin"
    file.write_bytes(content)
    given = {
        "path": {"path": str(file)},
        "uri": {"path": file.as_uri()},
        "data": {"data": base64.b64encode(content).decode(), "file_name": "cat\n.png"},
    }[way]
    async with serve_sandbox() as (_, settings), connect(allowing(settings, root), era) as agent:
        result = await agent.client.call_tool("upload_file", given)
        upload = await agent.call("upload_file", **given)
        served = await fetch(upload["url"])

    assert set(upload) == {"url", "mime_type", "size_bytes", "expires_at", "next"}
    assert (upload["mime_type"], upload["size_bytes"]) == (mime_type, len(content))
    assert use in upload["next"]
    assert served.content == content
    assert served.headers["content-type"] == mime_type
    assert upload["url"] in text_of(result)
    assert text_of(result).startswith("cat .png is at" if way == "data" else "The file is at")


@pytest.mark.parametrize("by", ["settings", "client"])
async def test_an_image_is_uploaded_on_the_way(root: Path, era: Era, by: str) -> None:
    async with serve_sandbox() as (sandbox, settings):
        settings = allowing(settings, root) if by == "settings" else settings
        async with connect(settings, era, list_roots_callback=Offered([root])) as agent:
            uri = (root / "cat.png").as_uri()
            task = await agent.call("generate_video", prompt="it purrs", image_url=uri)
            (url,) = sent(sandbox)
            served = await fetch(url)

    assert task["state"] == "wait"
    assert served.content == picture()
    assert "cat" not in url


async def test_a_video_and_its_style_are_uploaded_on_the_way(root: Path, era: Era) -> None:
    (root / "in.mp4").write_bytes(MP4)
    offered = Offered([root])
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, list_roots_callback=offered) as agent,
    ):
        await agent.call(
            "aleph_generate",
            prompt="as a drawing",
            video_url=(root / "in.mp4").as_uri(),
            reference_image_url=(root / "cat.png").as_uri(),
        )
        video = await fetch(sent(sandbox, "videoUrl")[0])
        style = await fetch(sent(sandbox, "referenceImage")[0])

    assert (video.content, style.content) == (MP4, picture())
    assert offered.asked == 1


async def test_directories_and_consent_are_asked_for_in_one_call(root: Path, era: Era) -> None:
    offered, questions = Offered([root]), list[str]()

    async def consent(_: ClientRequestContext, question: ElicitRequestParams) -> ElicitResult:
        questions.append(question.message)
        return ElicitResult(action="accept", content={"proceed": True})

    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"confirm_credits": 1})
        async with connect(
            settings, era, list_roots_callback=offered, elicitation_callback=consent
        ) as agent:
            call = {"prompt": "it purrs", "image_url": (root / "cat.png").as_uri()}
            await agent.call("generate_video", **call)
            again = await agent.call("generate_video", **call)

    assert again["deduplicated"]
    assert (len(questions), uploads(sandbox), len(sent(sandbox))) == (1, 1, 1)


async def test_an_uploaded_address_is_what_the_paid_tools_take(root: Path, era: Era) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(allowing(settings, root), era) as agent,
    ):
        upload = await agent.call("upload_file", path=str(root / "cat.png"))
        await agent.call("generate_video", prompt="it purrs", image_url=upload["url"])

    assert sent(sandbox) == [upload["url"]]


@pytest.mark.parametrize("request_id", [{}, {"request_id": "one"}], ids=["unnamed", "named"])
async def test_the_same_file_again_is_the_same_task_also_after_a_restart_and_elsewhere(
    root: Path, era: Era, request_id: dict[str, str]
) -> None:
    (root / "copy.png").write_bytes(picture())
    call = {"prompt": "it purrs", **request_id}
    cat, copy = (root / "cat.png").as_uri(), (root / "copy.png").as_uri()
    async with serve_sandbox() as (sandbox, settings):
        settings = allowing(settings, root)
        async with connect(settings, era) as agent, connect(settings, era) as elsewhere:
            first = await agent.call("generate_video", **call, image_url=cat)
            repeats = [
                await agent.call("generate_video", **call, image_url=cat),
                await agent.call("generate_video", **call, image_url=copy),
                await elsewhere.call("generate_video", **call, image_url=cat),
            ]
        async with connect(settings, era) as restarted:
            repeats.append(await restarted.call("generate_video", **call, image_url=cat))

    assert {task["task_id"] for task in repeats} == {first["task_id"]}
    assert all(task["deduplicated"] for task in repeats)
    assert len(sent(sandbox)) == 1
    assert uploads(sandbox) == 1


def age_uploads(settings: Settings) -> None:
    """Make every upload one of two days ago."""
    with closing(sqlite3.connect(settings.ledger_path)) as ledger, ledger:
        ledger.execute("UPDATE uploads SET expires_at = expires_at - 2 * 86400000")


@pytest.mark.parametrize("request_id", [{}, {"request_id": "one"}], ids=["unnamed", "named"])
@pytest.mark.parametrize("expired", [False, True], ids=["living", "expired"])
@pytest.mark.parametrize("way", ["path", "data"])
async def test_an_upload_and_a_call_with_its_address_repeated_after_a_restart_are_one_task(
    root: Path, era: Era, way: str, expired: bool, request_id: dict[str, str]
) -> None:
    file = root / "cat.png"
    data = base64.b64encode(file.read_bytes()).decode()
    given = {"path": str(file)} if way == "path" else {"data": data}

    async def follow(agent: Agent) -> dict[str, Any]:
        url = (await agent.call("upload_file", **given))["url"]
        return await agent.call("generate_video", prompt="it purrs", image_url=url, **request_id)

    async with serve_sandbox() as (sandbox, settings):
        settings = allowing(settings, root)
        async with connect(settings, era) as agent, connect(settings, era) as elsewhere:
            first = await follow(agent)
            if expired:
                age_uploads(settings)
            repeats = [await follow(elsewhere)]
        async with connect(settings, era) as restarted:
            repeats += [
                await follow(restarted),
                await restarted.call(  # the address of the first upload
                    "generate_video", prompt="it purrs", image_url=sent(sandbox)[0], **request_id
                ),
                await restarted.call(
                    "generate_video", prompt="it purrs", image_url=file.as_uri(), **request_id
                ),
            ]

    assert {task["task_id"] for task in repeats} == {first["task_id"]}
    assert all(task["deduplicated"] for task in repeats)
    assert len(sent(sandbox)) == 1
    assert uploads(sandbox) == (2 if expired else 1)


async def test_an_upload_of_another_content_after_a_restart_is_another_video(
    root: Path, era: Era
) -> None:
    async def follow(agent: Agent) -> dict[str, Any]:
        url = (await agent.call("upload_file", path=str(root / "cat.png")))["url"]
        return {"prompt": "it purrs", "image_url": url}

    async with serve_sandbox() as (sandbox, settings):
        settings = allowing(settings, root)
        async with connect(settings, era) as agent:
            await agent.call("generate_video", **await follow(agent), request_id="one")
        (root / "cat.png").write_bytes(picture("PNG", "red"))
        async with connect(settings, era) as restarted:
            call = await follow(restarted)
            error = (await restarted.fail("generate_video", **call, request_id="one"))["error"]
            other = await restarted.call("generate_video", **call)

    assert (error["code"], error["charged"]) == ("request_id_conflict", "no")
    assert "deduplicated" not in other
    assert len(sent(sandbox)) == uploads(sandbox) == 2


async def test_two_at_once_in_two_processes_are_one_task(root: Path, era: Era) -> None:
    tasks: list[str] = []
    async with serve_sandbox() as (sandbox, settings):
        settings = allowing(settings, root)
        async with connect(settings, era) as one, connect(settings, era) as other:

            async def start(agent: Agent) -> None:
                uri = (root / "cat.png").as_uri()
                task = await agent.call("generate_video", prompt="a", image_url=uri)
                tasks.append(task["request_id"])

            async with anyio.create_task_group() as group:
                for agent in (one, other) * 5:
                    group.start_soon(start, agent)

    assert len(set(tasks)) == 1
    assert len(sent(sandbox)) == 1
    assert uploads(sandbox) <= 2


async def test_a_file_that_takes_long_goes_on_and_the_same_call_again_finds_it(
    root: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"prompt": "it purrs", "image_url": (root / "cat.png").as_uri()}
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("slow_head", "file-stream-upload", seconds=0.2))
        async with connect(allowing(settings, root), era) as agent:
            monkeypatch.setattr(uploading, "GIVEN_WITHIN_S", 0.0)
            refused = await agent.refuse("generate_video", given)
            tasks = await agent.call("list_tasks")
            monkeypatch.setattr(uploading, "GIVEN_WITHIN_S", 30.0)
            task = await agent.call("generate_video", **given)

    assert (refused["error"]["code"], refused["error"]["charged"]) == ("still_uploading", "no")
    assert tasks == {"tasks": []}
    assert task["state"] == "wait"
    assert sandbox.requests["file-stream-upload"] == sandbox.requests["runway/generate"] == 1


async def test_another_content_under_the_same_request_id_is_a_conflict(
    root: Path, era: Era
) -> None:
    uri = (root / "cat.png").as_uri()
    call = {"prompt": "it purrs", "request_id": "one", "image_url": uri}
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(allowing(settings, root), era) as agent,
    ):
        await agent.call("generate_video", **call)
        (root / "cat.png").write_bytes(picture("PNG", "red"))
        error = (await agent.fail("generate_video", **call))["error"]
        other = await agent.call("generate_video", **{**call, "request_id": "two"})

    assert (error["code"], error["charged"]) == ("request_id_conflict", "no")
    assert "deduplicated" not in other
    assert len(sent(sandbox)) == uploads(sandbox) == 2


async def test_a_lost_answer_is_not_paid_for_again(root: Path, era: Era) -> None:
    call = {"prompt": "a", "image_url": (root / "cat.png").as_uri()}
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        async with connect(allowing(settings, root), era) as agent:
            first = await agent.fail("generate_video", **call)
        async with connect(allowing(settings, root), era) as restarted:
            again = await restarted.fail("generate_video", **call)

    assert first["state"] == again["state"] == "unknown"
    assert first["request_id"] == again["request_id"]
    assert len(sent(sandbox)) == uploads(sandbox) == 1


async def test_a_row_that_was_never_sent_is_sent_by_the_repeat_from_a_living_address(
    root: Path, era: Era
) -> None:
    call = {"prompt": "a", "request_id": "one", "image_url": (root / "cat.png").as_uri()}
    async with serve_sandbox() as (sandbox, settings):
        headers = {"Retry-After": "600"}  # it is sent no second time before the end
        sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429, headers=headers))
        async with connect(allowing(settings, root), era) as agent, anyio.create_task_group() as it:
            it.start_soon(partial(agent.call, "generate_video", **call))
            with anyio.fail_after(60):
                await sandbox.log.wait_for("fault")
            it.cancel_scope.cancel()
        age_uploads(settings)
        async with connect(allowing(settings, root), era) as restarted:
            (waiting,) = (await restarted.call("list_tasks"))["tasks"]
            task = await restarted.call("generate_video", **call)
    latest = sandbox.log.select("upload")[-1].details["path"]

    assert (waiting["state"], task["state"]) == ("queued", "wait")
    assert uploads(sandbox) == 2
    assert [url.endswith(latest) for url in sent(sandbox)] == [True]


async def test_arguments_that_do_not_fit_together_are_refused_before_the_upload(
    root: Path, era: Era
) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(allowing(settings, root), era) as agent,
    ):
        uri = (root / "cat.png").as_uri()
        await agent.fail("generate_video", prompt="a", image_url=uri, duration=10, quality="1080p")

    assert uploads(sandbox) == 0


async def test_a_real_process_on_stdio_reads_what_its_client_offers(
    root: Path, tmp_path: Path, era: Era
) -> None:
    offered = Offered([root])
    with standalone_sandbox() as kie:
        server = StdioServerParameters(
            command=COMMAND[0], env={**kie.env, "KIE_HOME": str(tmp_path / "home")}
        )
        async with Client(server, mode=era, list_roots_callback=offered) as client:
            agent = Agent(client)
            uri = (root / "cat.png").as_uri()
            task = await agent.call("generate_video", prompt="it purrs", image_url=uri)
            await agent.fail("upload_file", path="/etc/passwd")
        paid, uploaded = kie.events("create"), kie.events("upload")

    assert task["state"] == "wait"
    assert (len(paid), len(uploaded)) == (1, 1)
    assert offered.asked == 2


async def test_over_http_settings_open_directories_and_data_takes_ten_megabytes(
    root: Path, tmp_path: Path, era: Era
) -> None:
    content = picture() + bytes(10_000_000 - len(picture()))
    with standalone_sandbox() as kie:
        env = {**kie.env, "KIE_HOME": str(tmp_path / "home"), "KIE_UPLOAD_ROOTS": f"/none:{root}"}
        with http_server(env=env) as server:
            async with Client(server.url, mode=era) as client:
                agent = Agent(client)
                await agent.call("upload_file", path=str(root / "cat.png"))
                data = base64.b64encode(content).decode()
                upload = await agent.call("upload_file", data=data)
                await agent.fail("upload_file", path="/etc/passwd")

    assert upload["size_bytes"] == 10_000_000
