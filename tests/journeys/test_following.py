"""Following tasks over real wires: who subscribes, who listens, who holds a task's handle."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Self

import anyio
import httpx
from mcp import Client
from mcp.types import (
    EmptyResult,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
)
from tests.journeys.processes import Standalone, http_server
from tests.wire import META, WITHIN_S, Message, RawEra, Wire

EXTENSION = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
DECLARED: Message = {CAPABILITIES: {"extensions": {EXTENSION: {}}}}


def follow(wire: Wire, *uris: str) -> None:
    if wire.era == "legacy":
        for uri in uris:
            wire.call("resources/subscribe", {"uri": uri})
        return
    number = wire.ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    acknowledged = wire.notification("notifications/subscriptions/acknowledged")["params"]
    assert acknowledged["_meta"][SUBSCRIPTION_ID] == number
    assert acknowledged["notifications"] == {"resourceSubscriptions": list(uris)}


def updated(wire: Wire) -> str:
    """The next resource that changed."""
    uri: str = wire.notification("notifications/resources/updated")["params"]["uri"]
    return uri


def state_of(wire: Wire, uri: str) -> str:
    """The state of a task, as its resource tells it."""
    read = wire.call("resources/read", {"uri": uri})
    state: str = json.loads(read["contents"][0]["text"])["state"]
    return state


def test_the_handshake_promises_subscriptions() -> None:
    with Wire(era="legacy") as wire:
        capabilities = wire.open()["capabilities"]
    with Wire(era="modern") as wire:
        discovered = wire.open()["capabilities"]

    assert capabilities["resources"] == {"subscribe": True, "listChanged": False}
    assert "extensions" not in capabilities
    assert discovered["resources"]["subscribe"] is True
    assert discovered["extensions"][EXTENSION] == {}


def test_two_processes_on_a_ledger_hear_of_one_task(era: RawEra, kie: Standalone) -> None:
    with Wire(era=era, env=kie.env) as wire, Wire(era=era, env=kie.env) as other:
        for opened in (wire, other):
            opened.open()
        task = wire.tool("generate_video", prompt="a paper boat", request_id=f"two-{era}")
        by_task_id = f"kie://tasks/{task['task_id']}"
        by_request_id = f"kie://tasks/two-{era}"
        follow(wire, by_task_id, by_request_id)
        follow(other, by_task_id)
        kie.finish(task["task_id"])
        heard = {updated(wire)}
        while len(heard) < 2:
            heard.add(updated(wire))
        heard_elsewhere = updated(other)
        while state_of(other, by_task_id) != "success":
            updated(other)
        for opened in (wire, other):
            opened.close_stdin()
        codes = [opened.end() for opened in (wire, other)]

    assert heard == {by_task_id, by_request_id}
    assert heard_elsewhere == by_task_id
    assert codes == [0, 0]


def test_a_handle_from_stdio_is_good_in_the_next_process(kie: Standalone) -> None:
    env = kie.env | {"KIE_AUTOSAVE": "0"}  # a saved file would change what is told of the end
    with Wire(era="modern", env=env) as wire:
        wire.open()
        call = {"name": "generate_video", "arguments": {"prompt": "a boat"}, "_meta": DECLARED}
        handle = wire.call("tools/call", call)
    with Wire(era="modern", env=env) as wire:
        wire.open()
        named = {"taskId": handle["taskId"], "_meta": DECLARED}
        working = wire.call("tasks/get", named)
        wire.ask("subscriptions/listen", {"notifications": _listen_to(handle), "_meta": DECLARED})
        acknowledged = wire.notification("notifications/subscriptions/acknowledged")["params"]
        kie.finish(handle["taskId"])
        pushed = wire.notification("notifications/tasks")["params"]
        while pushed["status"] == "working":
            pushed = wire.notification("notifications/tasks")["params"]
        done = wire.call("tasks/get", named)

    assert handle["resultType"] == "task"
    assert working["resultType"] == "complete"
    assert (handle["status"], working["status"], done["status"]) == (
        "working",
        "working",
        "completed",
    )
    assert handle["ttlMs"] is None
    assert acknowledged["notifications"] == {"taskIds": [handle["taskId"]]}
    assert pushed["result"]["structuredContent"]["state"] == "success"
    assert pushed["result"]["structuredContent"] == done["result"]["structuredContent"]


def _listen_to(handle: Message) -> Message:
    return {"taskIds": [handle["taskId"], "no-such-task", 7]}


class ModernHttp:
    """A client of the modern era on HTTP, in raw requests."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(timeout=WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, params: Message, name: str | None = None) -> httpx.Response:
        return self._http.post(self._url, **_request(method, params, name))

    @contextmanager
    def stream(self, method: str, params: Message) -> Generator[Iterator[Message]]:
        with self._http.stream("POST", self._url, **_request(method, params, None)) as answer:
            yield (json.loads(line[5:]) for line in answer.iter_lines() if line[:5] == "data:")


def _request(method: str, params: Message, name: str | None) -> dict[str, Any]:
    headers = {
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
        "Accept": "application/json, text/event-stream",
    }
    if name is not None:
        headers["Mcp-Name"] = name
    body = {"jsonrpc": "2.0", "id": 7, "method": method}
    return {"headers": headers, "json": body | {"params": params | {"_meta": META | DECLARED}}}


def test_over_http_a_task_is_got_under_its_name_and_pushed(kie: Standalone) -> None:
    with http_server(env=kie.env) as server, ModernHttp(server.url) as client:
        call = {"name": "generate_video", "arguments": {"prompt": "a boat"}}
        handle = client.call("tools/call", call, "generate_video").json()["result"]
        task_id = handle["taskId"]
        got = client.call("tasks/get", {"taskId": task_id}, task_id)
        refused = [
            client.call(method, {"taskId": task_id}, name)
            for method in ("tasks/get", "tasks/update", "tasks/cancel")
            for name in ("another-task", None)
        ]
        acks = [
            client.call(method, {"taskId": task_id}, task_id).json()["result"]
            for method in ("tasks/update", "tasks/cancel")
        ]
        with client.stream("subscriptions/listen", {"notifications": _listen_to(handle)}) as seen:
            acknowledged = next(seen)
            kie.finish(task_id)
            pushed = next(seen)
            while pushed["params"]["status"] == "working":
                pushed = next(seen)
        with client.stream("subscriptions/listen", {"notifications": _listen_to(handle)}) as seen:
            late = [next(seen), next(seen)]

    assert got.json()["result"]["status"] == "working"
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in refused} == {
        (400, -32020)
    }
    assert [set(ack) - {"_meta"} for ack in acks] == [{"resultType"}] * 2
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    assert pushed["method"] == "notifications/tasks"
    assert pushed["params"]["result"]["structuredContent"]["state"] == "success"
    assert pushed["params"]["_meta"][SUBSCRIPTION_ID] == 7
    assert late[1]["params"]["status"] == "completed"  # ended before anybody listened


def test_over_http_a_client_of_the_handshake_era_hears_of_changes(kie: Standalone) -> None:
    with http_server(env=kie.env) as server:
        anyio.run(_subscribed_over_http, server.url, kie)


async def _subscribed_over_http(url: str, kie: Standalone) -> None:
    heard = anyio.Event()

    async def note(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.set()

    with anyio.fail_after(WITHIN_S):
        async with Client(url, mode="legacy", message_handler=note) as client:
            result = await client.call_tool("generate_video", {"prompt": "a boat"})
            assert result.structured_content is not None
            task_id = result.structured_content["task_id"]
            params = SubscribeRequestParams(uri=f"kie://tasks/{task_id}")
            await client.session.send_request(SubscribeRequest(params=params), EmptyResult)
            kie.finish(task_id)
            await heard.wait()
