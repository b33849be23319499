"""What clients are told of this server, in their files and by links."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from jsonschema import Draft202012Validator
from tests.server.setup.schemas import MCP_SERVERS, VSCODE

from kie_runway.settings import Settings
from kie_runway.setup.clients import CLIENTS, ClientName
from kie_runway.setup.edits import put
from kie_runway.setup.entry import Wish, additions, cursor_links, starts_us, vscode_links
from kie_runway.setup.launch import Launch

LAUNCH = Launch("/opt/kie/bin/kie-runway-mcp", ["serve"])
KEY = 'odd"key\\with/quotes'
WISHES = [Wish(), Wish(sandbox=True), Wish(output_dir="/v", daily_credits=250)]


def whole(name: ClientName, wish: Wish, key: str = KEY) -> dict[str, Any]:
    """A file that has nothing else."""
    text = ""
    for addition in additions(CLIENTS[name], LAUNCH, wish, key):
        text = put(text, addition.path, addition.value)
    config: dict[str, Any] = json.loads(text)
    return config


@pytest.mark.parametrize("name", ClientName)
@pytest.mark.parametrize("wish", WISHES, ids=["key", "sandbox", "settings"])
def test_the_file_is_what_the_client_accepts(name: ClientName, wish: Wish) -> None:
    schema = VSCODE if name is ClientName.VSCODE else MCP_SERVERS

    validator: Any = Draft202012Validator(schema)
    validator.validate(whole(name, wish))


def test_vs_code_asks_for_the_key_and_hides_it() -> None:
    assert whole(ClientName.VSCODE, Wish()) == {
        "servers": {
            "kie-runway": {
                "type": "stdio",
                "command": "/opt/kie/bin/kie-runway-mcp",
                "args": ["serve"],
                "env": {"KIE_API_KEY": "${input:kie-api-key}"},
            }
        },
        "inputs": [
            {
                "type": "promptString",
                "id": "kie-api-key",
                "description": "KIE API key, from https://kie.ai/api-key",
                "password": True,
            }
        ],
    }


@pytest.mark.parametrize(
    ("name", "stands"),
    [
        (ClientName.CLAUDE_CODE, "${KIE_API_KEY:-}"),
        (ClientName.CURSOR, "${env:KIE_API_KEY}"),
        (ClientName.VSCODE, "${input:kie-api-key}"),
        (ClientName.CLAUDE_DESKTOP, KEY),
    ],
)
def test_the_key_is_written_only_where_there_is_no_better_place(
    name: ClientName, stands: str
) -> None:
    config = whole(name, Wish())
    (server,) = config[CLIENTS[name].servers].values()

    assert server["env"] == {"KIE_API_KEY": stands}
    assert (json.dumps(KEY) in json.dumps(config)) is (stands == KEY)


def test_a_placeholder_that_nobody_filled_in_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for client in CLIENTS.values():
        monkeypatch.setenv("KIE_API_KEY", client.key or "")

        assert Settings().api_key is None


@pytest.mark.parametrize(
    ("words", "is_ours"),
    [
        (["/opt/kie/bin/kie-runway-mcp"], True),
        ([r"C:\kie\Scripts\kie-runway-mcp.exe", "serve"], True),
        (["/usr/bin/python3", "-m", "kie_runway", "serve"], True),
        (["/home/ana/.local/bin/uvx", "kie-runway-mcp"], True),
        (["npx", "kie-runway-mcp"], False),
        (["node", "/home/ana/kie-runway-mcp/index.js"], False),
        (["python3", "kie_runway"], False),
        (["uvx", "other"], False),
    ],
)
def test_an_entry_of_ours_is_known_by_what_it_starts(words: list[str], is_ours: bool) -> None:
    assert starts_us({"command": words[0], "args": words[1:]}) is is_ours


@pytest.mark.parametrize("odd", [None, 1, [], {}, {"command": 1, "args": "x"}, {"url": "x"}])
def test_an_odd_entry_is_not_ours(odd: object) -> None:
    assert not starts_us(odd)


@pytest.mark.parametrize("name", ClientName)
def test_the_sandbox_needs_no_key(name: ClientName) -> None:
    config = whole(name, Wish(sandbox=True))

    assert "KIE_API_KEY" not in json.dumps(config)
    assert "inputs" not in config


@pytest.mark.parametrize(
    ("credits", "written"), [(250.0, "250"), (0.5, "0.5"), (1234567.25, "1234567.25"), (0.0, "0")]
)
def test_settings_are_written_as_the_server_reads_them(
    monkeypatch: pytest.MonkeyPatch, credits: float, written: str
) -> None:
    config = whole(ClientName.CURSOR, Wish(output_dir="/videos", daily_credits=credits))
    env = config["mcpServers"]["kie-runway"]["env"]
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert env["KIE_DAILY_CREDITS"] == written
    assert Settings().daily_credits == credits
    assert str(Settings().videos_dir) == "/videos"


@pytest.mark.parametrize("wish", [Wish(), Wish(sandbox=True)], ids=["key", "sandbox"])
def test_cursors_links_carry_the_entry_that_install_writes(wish: Wish) -> None:
    links = cursor_links(wish)
    app, web = urlsplit(links.app), urlsplit(links.web)
    query = parse_qs(app.query, strict_parsing=True)
    entry = json.loads(base64.b64decode(query["config"][0], validate=True))

    assert (app.scheme, app.netloc, app.path) == (
        "cursor",
        "anysphere.cursor-deeplink",
        "/mcp/install",
    )
    assert (web.scheme, web.netloc, web.path) == ("https", "cursor.com", "/install-mcp")
    assert web.query == app.query
    assert query["name"] == ["kie-runway"]
    assert entry == on_path(whole(ClientName.CURSOR, wish)["mcpServers"]["kie-runway"], wish)


@pytest.mark.parametrize("wish", [Wish(), Wish(sandbox=True)], ids=["key", "sandbox"])
def test_vs_codes_links_carry_the_entry_that_install_writes(wish: Wish) -> None:
    config = whole(ClientName.VSCODE, wish)
    entry = on_path(config["servers"]["kie-runway"], wish)
    links = vscode_links(wish)
    scheme, _, rest = links.app.partition("?")
    web = urlsplit(links.web)
    query = parse_qs(web.query, strict_parsing=True)
    inputs = config.get("inputs", [])

    assert scheme == "vscode:mcp/install"
    assert json.loads(unquote(rest)) == {
        "name": "kie-runway",
        **entry,
        **({"inputs": inputs} if inputs else {}),
    }
    assert (web.scheme, web.netloc) == ("https", "insiders.vscode.dev")
    assert web.path == "/redirect/mcp/install"
    assert query["name"] == ["kie-runway"]
    assert json.loads(query["config"][0]) == entry
    assert [json.loads(it) for it in query.get("inputs", [])] == ([inputs] if inputs else [])
    assert "+" not in web.query, "VS Code does not read it as a space"


def on_path(entry: dict[str, Any], wish: Wish) -> dict[str, Any]:
    args = ["serve", "--sandbox"] if wish.sandbox else ["serve"]
    return {**entry, "command": "kie-runway-mcp", "args": args}


@pytest.mark.parametrize("links", [cursor_links(), vscode_links()], ids=["cursor", "vscode"])
def test_links_can_stand_in_markdown(links: Any) -> None:
    for link in (links.app, links.web):
        assert link.isascii()
        assert not set(link) & set(" ()<>[]\"'`\n")
