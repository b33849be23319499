"""The checks see what they are there for: pages with one thing wrong each are caught."""

import pytest
from tests.docs import commands, names
from tests.docs.names import Names
from tests.docs.pages import README, Page

KNOWN = Names(
    words=frozenset({"get_task"}),
    resources=frozenset({"kie://tasks"}),
    variables=frozenset({"KIE_HOME"}),
)


def page(text: str) -> Page:
    """A page beside the README."""
    return Page(README, text)


@pytest.mark.parametrize(
    "text",
    [
        "`get_task` reads kie://tasks in `KIE_HOME`: [so](docs/reliability.md#what-is-promised).",
        "## It works\n\n[There](#it-works), or [elsewhere](https://example.com/nothing).",
        '```json\n{"mcpServers": {}}\n```',
        '<picture><img src="docs/callbacks.md" alt="">',
        "Only text: `[dead](nowhere.md)`.",
    ],
)
def test_a_page_without_a_fault_is_let_through(text: str) -> None:
    assert names.complaints(page(text), KNOWN) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[dead](docs/nowhere.md)", "docs/nowhere.md"),
        ("![dead](docs/images/nothing.png)", "docs/images/nothing.png"),
        ('<source srcset="docs/images/nothing.png">', "docs/images/nothing.png"),
        ("[dead](docs/reliability.md#no-such-heading)", "no-such-heading"),
        ("[dead](#no-such-heading)", "no-such-heading"),
        ("[out](../elsewhere.md)", "elsewhere.md"),
        ("Set `KIE_HOUSE`.", "KIE_HOUSE"),
        ("```sh\nexport KIE_HOUSE=here\n```", "KIE_HOUSE"),
        ("Call `get_tusk`.", "get_tusk"),
        ("Read `kie://tusks`.", "kie://tusks"),
        ("```json\n{,}\n```", "JSON"),
    ],
)
def test_what_leads_nowhere_is_named(text: str, named: str) -> None:
    (complaint,) = names.complaints(page(text), KNOWN)

    assert named in complaint


@pytest.mark.parametrize(
    "text",
    [
        "`kie-runway-mcp tasks show ID` and `kie-runway-mcp demo [PROMPT]`, then `make test`.",
        "```sh\nmake lint  # types\nkie-runway-mcp demo\n```",
    ],
)
def test_commands_that_exist_are_let_through(text: str) -> None:
    assert commands.complaints(page(text)) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("`kie-runway-mcp serve --htp`", "--htp"),
        ("`kie-runway-mcp sandboks`", "sandboks"),
        ("`kie-runway-mcp serve \\| tasks --jason`", "tasks"),
        ("`kie-runway-mcp tasks list --state done`", "done"),
        ("`kie-runway-mcp sandbox --port many`", "many"),
        ("`make tset`", "tset"),
        ("```bash\nls\n```", "bash"),
        ("```\nls\n```", "no language"),
    ],
)
def test_a_command_that_does_not_exist_is_named(text: str, named: str) -> None:
    (complaint,) = commands.complaints(page(text))

    assert named in complaint


def test_a_step_that_ci_no_longer_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "steps_of_ci", frozenset)

    (complaint,) = commands.complaints(page("```sh\nmake lint\n```"))

    assert "make lint" in complaint


def test_a_command_that_others_no_longer_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ELSEWHERE", {"true": ("Makefile", "no such words")})

    (complaint,) = commands.complaints(page("```sh\ntrue\n```"))

    assert "Makefile" in complaint


def test_comments_and_long_lines_are_understood() -> None:
    text = "```sh\n# first\nls \\\n  -l   # all\necho '#no comment'\n```\n```text\nnot run\n```"

    assert commands.shell_commands(page(text)) == ["ls -l", "echo '#no comment'"]
