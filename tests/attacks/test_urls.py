"""Addresses that lead where nobody should go: from an agent, and from KIE."""

import asyncio
import base64
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.attacks.kie import VIDEO_URL
from tests.sockets import listening
from tests.support import SLOW, Agent, connect, serve_sandbox

from kie_runway.client import KieClient
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox

pytestmark = pytest.mark.anyio

METADATA = {
    "dotted": "http://169.254.169.254/latest/meta-data/",
    "with a final dot": "http://169.254.169.254./",
    "decimal": "http://2852039166/",
    "octal": "http://0251.0376.0251.0376/",
    "octal number": "http://025177524776/",
    "hexadecimal": "http://0xa9.0xfe.0xa9.0xfe/",
    "hexadecimal number": "http://0xA9FEA9FE/",
    "mixed": "http://169.0376.0xa9fe/",
    "IPv4-mapped": "http://[::ffff:169.254.169.254]/",
    "IPv4-mapped, in hexadecimal": "http://[::ffff:a9fe:a9fe]/",
    "IPv4-compatible": "http://[::a9fe:a9fe]/",
    "NAT64": "http://[64:ff9b::a9fe:a9fe]/",
    "6to4": "http://[2002:a9fe:a9fe::]/",
    "IPv6 of AWS": "http://[fd00:ec2::254]/",
    "Azure's": "http://168.63.129.16/",
    "Alibaba's": "http://100.100.100.200/",
    "Oracle's": "http://192.0.0.192/",
}
LOOPBACK = {
    "127.1": "http://127.1/",
    "zero": "http://0/",
    "IPv6 unspecified": "http://[::]/",
    "IPv6 loopback": "http://[::1]/",
}
NAMES = {
    "localhost": "http://localhost/",
    "localhost with a final dot": "http://localhost./",
    "Google's metadata": "http://metadata.google.internal/computeMetadata/v1/",
}
SCHEMES = {
    "file": "file:/etc/passwd",  # with two slashes more it can be an upload
    "data": "data:image/png;base64,AAAA",
    "ftp": "ftp://host.example/clip.mp4",
    "gopher": "gopher://host.example/_GET%20/",
    "javascript": "javascript:alert(1)",
}
SHAPES = {
    "a line break": "https://host.example/clip\r\nX-Injected: yes",
    "a NUL": "https://host.example/clip\x00.mp4",
    "10 kB": "https://host.example/" + "a" * 10_000,
    "a name and a password": "https://me:secret@host.example/clip.mp4",
    "a backslash": "https://host.example\\@169.254.169.254/",
}
HOSTILE = METADATA | LOOPBACK | NAMES | SCHEMES | SHAPES
ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "image_url": ("generate_video", {}),
    "video_url": ("aleph_generate", {}),
    "reference_image_url": ("aleph_generate", {"video_url": VIDEO_URL}),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
async def test_a_hostile_address_costs_nothing_and_uses_nothing_up(
    sandbox: Sandbox, settings: Settings, argument: str
) -> None:
    tool, others = ARGUMENTS[argument]
    async with connect(settings) as agent:
        for name, url in HOSTILE.items():
            arguments = {"prompt": "a boat", "request_id": "one", **others, argument: url}
            error = (await agent.refuse(tool, arguments))["error"]

            assert (error["code"], error["charged"]) == ("bad_input", "no"), name
            assert f"`{argument}`" in error["reason"], name
            assert "secret" not in error["reason"]
        listed = await agent.call("list_tasks")

    assert sandbox.requests.total() == 0
    assert listed == {"tasks": []}


def asked(settings: Settings) -> AbstractAsyncContextManager[Agent]:
    """An agent whose server looks when it is asked, and not by itself."""
    return connect(settings, pace=SLOW)


async def finished_at(agent: Agent, sandbox: Sandbox, url: str) -> dict[str, Any]:
    """A task whose video KIE says is at this address; state `success` if that is believed."""
    task = await agent.call("generate_video", prompt="a boat")
    merge = {"videoInfo": {"videoUrl": url, "imageUrl": url}}
    sandbox.inject(Fault("edit", "runway/record-detail", times=None, merge=merge))
    sandbox.finish(task["task_id"])
    return await agent.call("get_task", task_id=task["task_id"], wait_seconds=0)


@pytest.mark.parametrize("url", (METADATA | LOOPBACK).values(), ids=METADATA | LOOPBACK)
async def test_a_result_in_a_private_network_is_never_fetched(
    sandbox: Sandbox, settings: Settings, url: str
) -> None:
    async with asked(settings) as agent:
        task = await finished_at(agent, sandbox, url)
        error = (await agent.fail("save_video", task_id=task["task_id"]))["error"]

    assert task["state"] == "success"
    assert (error["code"], error["retry"], error["charged"]) == ("unsafe_url", "never", "no")
    assert not settings.videos_dir.exists() or not list(settings.videos_dir.iterdir())


@pytest.mark.parametrize("url", SCHEMES.values(), ids=SCHEMES)
async def test_a_result_that_is_no_web_address_is_no_result(
    sandbox: Sandbox, settings: Settings, url: str
) -> None:
    async with asked(settings) as agent:
        task = await finished_at(agent, sandbox, url)
        error = (await agent.fail("save_video", task_id=task["task_id"]))["error"]

    assert task["state"] == "generating"
    assert "video_url" not in task
    assert error["code"] == "not_finished"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_service_on_another_port_of_this_machine_is_not_connected_to(
    sandbox: Sandbox, settings: Settings, host: str
) -> None:
    connections: list[object] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer.get_extra_info("peername"))

    async with listening(note) as port, asked(settings) as agent:
        url = f"http://{host}:{port}/clip.mp4"
        task = await finished_at(agent, sandbox, url)
        saved = (await agent.fail("save_video", task_id=task["task_id"]))["error"]
        sandbox.faults.clear()
        sandbox.inject(Fault("redirect", "media", location=url))
        other = await agent.call("generate_video", prompt="another boat")
        sandbox.finish(other["task_id"])
        await agent.call("get_task", task_id=other["task_id"], wait_seconds=0)
        sandbox.faults.clear()
        sandbox.inject(Fault("redirect", "media", location=url))
        redirected = (await agent.fail("save_video", task_id=other["task_id"]))["error"]

    assert saved["code"] == redirected["code"] == "unsafe_url"
    assert connections == []


async def test_an_image_that_is_a_web_page_fails_at_kie_and_is_never_fetched_by_us() -> None:
    async with serve_sandbox(advance="lookups", lookups_per_state=0) as (sandbox, settings):
        async with KieClient(
            settings.api_key,
            api_url=settings.api_url,
            upload_url=settings.upload_url,
            user_agent=settings.user_agent,
        ) as client:
            page = base64.b64encode(b"<!doctype html><title>Sign in</title>").decode()
            uploaded = await client.upload_base64(page, file_name="cat.png", upload_path="images")
        async with connect(settings) as agent:
            task = await agent.call("generate_video", prompt="a boat", image_url=uploaded.url)
            failed = await agent.fail("get_task", task_id=task["task_id"], wait_seconds=30)

    assert failed["state"] == "fail"
    assert failed["error"]["retry"] == "after_change"
    assert sandbox.requests["files"] == 0
