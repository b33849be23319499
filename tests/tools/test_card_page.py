"""The card's page, and what a host may let it load."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mcp.server.apps import APP_MIME_TYPE
from mcp.types import TextResourceContents
from tests.support import Agent, Era, connect, serve_sandbox

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault
from kie_runway_tools.card_host import CARD_KEY, CARD_URI
from kie_runway_tools.card_page import card_page
from kie_runway_tools.card_resource import KNOWN_ORIGINS, public_origin
from kie_runway_tools.catalog import build_tools

SOURCES = Path(__file__).parents[2] / "tools" / "kie_runway_tools" / "card"
PAGE_MAX_BYTES = 42_000
CLIENT_MAX_BYTES = 4_000
EXTENSION = "io.modelcontextprotocol/ui"
WITH_CARD = ["generate_video", "extend_video", "aleph_generate", "list_tasks"]
ELSEWHERE = "https://cdn.example.com"


class Outline(HTMLParser):
    """A page's tags, and what stands in its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.code: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.code.append((self.open[-1], data))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


@pytest.fixture(name="outline", scope="module")
def _outline() -> Outline:
    return Outline(card_page())


def test_the_page_holds_every_source_and_names_no_other_file(outline: Outline) -> None:
    code = [path for path in SOURCES.iterdir() if path.suffix in (".js", ".css")]

    assert len(outline.code) == len(code)
    for tag, attributes in outline.tags:
        assert not {"src", "href", "action", "srcset", "poster"} & set(attributes), tag
    assert not [tag for tag, _ in outline.tags if tag in ("link", "iframe", "object", "base")]
    assert not re.search(r"url\(|@import|\bimport\b|https?://[a-z]", card_page())


def test_no_script_or_style_ends_early(outline: Outline) -> None:
    for path in SOURCES.glob("*.[jc]s*"):
        assert not re.search(r"</|<!--|<script", path.read_text(encoding="utf-8")), path
    assert {kind for kind, _ in outline.code} == {"script", "style"}
    assert card_page().rstrip().endswith("</html>")


def test_the_page_sets_text_as_text_and_runs_none(outline: Outline) -> None:
    scripts = "".join(text for kind, text in outline.code if kind == "script")

    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", scripts
    )
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|localStorage)\b", scripts)
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)


def test_what_is_left_out_for_readers_is_no_part_of_the_code() -> None:
    """Comments and indentation are taken off by their look, so nothing may look like them."""
    for path in SOURCES.glob("*.js"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert line.count("`") % 2 == 0, f"{path.name}:{number}: text over several lines"
            code = re.sub(r"/\*.*?\*/", "", line)
            assert not re.search(r"[\"'`][^\"'`]*(/\*|\*/)[^\"'`]*[\"'`]", code), (
                f"{path.name}:{number}"
            )


def test_the_page_is_small() -> None:
    assert len(card_page().encode()) <= PAGE_MAX_BYTES
    assert (SOURCES / "host.js").stat().st_size <= CLIENT_MAX_BYTES


def test_the_page_and_the_server_use_the_same_mark() -> None:
    assert f'const MARK = "{CARD_KEY}";' in card_page()


def test_what_spends_and_what_lists_has_the_card_and_no_look_up() -> None:
    """A host shows one card per call, and a model that waits calls the look-ups many times."""
    shown = {tool.name: tool.meta for tool in build_tools(45) if tool.meta is not None}

    assert list(shown) == WITH_CARD
    for meta in shown.values():
        assert meta == {"ui": {"resourceUri": CARD_URI}, "ui/resourceUri": CARD_URI}


async def read(agent: Agent) -> TextResourceContents:
    (content,) = (await agent.client.read_resource(CARD_URI)).contents
    assert isinstance(content, TextResourceContents)
    return content


async def origins(agent: Agent) -> list[str]:
    """From where the page may load pictures and videos."""
    meta = (await read(agent)).meta
    assert meta is not None
    csp = meta["ui"]["csp"]
    assert set(csp) == {"connectDomains", "resourceDomains"}
    assert csp["connectDomains"] == []
    found: list[str] = csp["resourceDomains"]
    return found


@pytest.mark.anyio
async def test_hosts_find_the_page_and_learn_what_it_may_load(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        listed = (await agent.client.list_resources()).resources
        tools = (await agent.client.list_tools()).tools
        content = await read(agent)
        capabilities = agent.client.server_capabilities

    (resource,) = [resource for resource in listed if resource.uri == CARD_URI]
    assert resource.mime_type == content.mime_type == APP_MIME_TYPE
    assert resource.meta == content.meta
    assert content.meta is not None
    assert content.meta["ui"]["csp"]["resourceDomains"] == list(KNOWN_ORIGINS)
    assert content.text == card_page()
    assert [tool.name for tool in tools if tool.meta] == WITH_CARD
    if era == "auto":  # the handshake era has no place for servers' extensions
        assert EXTENSION in (capabilities.extensions or {})


@pytest.mark.anyio
async def test_the_page_may_load_from_where_the_latest_videos_are(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        before = await origins(agent)
        task_id = (await agent.call("generate_video", prompt="a boat"))["task_id"]
        info = {"videoUrl": f"{ELSEWHERE}/v.mp4", "imageUrl": f"{ELSEWHERE}:8443/v.png"}
        sandbox.inject(Fault("edit", "runway/record-detail", times=None, merge={"videoInfo": info}))
        sandbox.finish(task_id)
        await agent.call("get_task", task_id=task_id, wait_seconds=30)
        after = await origins(agent)

    assert before == [*KNOWN_ORIGINS, settings.api_url]
    assert after == [*before, ELSEWHERE, f"{ELSEWHERE}:8443"]


@pytest.mark.anyio
async def test_of_trusted_hosts_only_those_of_this_machine_count(era: Era) -> None:
    trusted = ("127.0.0.1:8765", "localhost:1", "nas.local:80", "localhost; script-src *")
    settings = Settings().model_copy(update={"trusted_hosts": trusted})
    async with connect(settings, era) as agent:
        found = await origins(agent)

    assert found == [*KNOWN_ORIGINS, "http://127.0.0.1:8765", "http://localhost:1"]


@pytest.mark.anyio
async def test_the_page_can_be_read_where_the_ledger_cannot(era: Era, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings().model_copy(
        update={"database_url": f"sqlite:///{tmp_path}/file/ledger.db"}
    )
    async with connect(settings, era) as agent:
        found = await origins(agent)

    assert found == list(KNOWN_ORIGINS)


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example.com/v.mp4",
        "https://localhost/v.mp4",
        "https://10.0.0.1/v.mp4",
        "https://93.184.216.34/v.mp4",
        "https://[2606:2800:220:1::1]/v.mp4",
        "https://nas.local/v.mp4",
        "https://*.example.com/v.mp4",
        "https://cdn.example.com;script-src.example.com/v.mp4",
        "https://cdn.example.com%20*/v.mp4",
        "https://a.example.com https://b.example.com/",
        "https://cdn_1.example.com/v.mp4",
        "https://cdn.example.com'/v.mp4",
        "https://user@cdn.example.com/v.mp4",
        "https://cdn.example.com:0/v.mp4",
        "data:text/html,x",
        "javascript:alert(1)",
        "",
    ],
)
def test_no_hostile_host_gets_into_the_csp(url: str) -> None:
    assert public_origin(url) is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://cdn.example.com/v.mp4?x=1;script-src *", "https://cdn.example.com"),
        ("https://CDN.Example.com:443/v.mp4", "https://cdn.example.com"),
        ("https://bücher.example:8443/v.mp4", "https://xn--bcher-kva.example:8443"),
    ],
)
def test_an_origin_is_written_as_a_csp_can_name_it(url: str, origin: str) -> None:
    assert public_origin(url.replace(" ", "%20")) == origin
