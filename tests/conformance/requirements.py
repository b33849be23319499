"""Which scenarios of the suite this project is held to."""

from itertools import chain
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel

REVISIONS = ("2025-11-25", "2026-07-28")

# Run and reported by the suite, and no part of what a revision requires.
LEFT_OUT = {
    "tasks-status-notifications": "the suite skips it itself",
    "server-sse-polling": "answers are not stored for resumption: get_task finds a task again",
}

# What can be told of a server that has other tools than the suite's.
PRODUCT_SCENARIOS = frozenset(
    {
        "caching",
        "dns-rebinding-protection",
        "http-header-validation",
        "ping",
        "prompts-list",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "server-stateless",
        "tools-list",
    }
)
# Checks of those scenarios that need a tool of the suite after all.
PRODUCT_EXCUSED = frozenset(
    {
        "sep-2575-http-server-no-independent-requests-on-stream",
        "sep-2575-missing-capability-http-400",
        "sep-2575-server-no-log-without-loglevel",
        "sep-2575-server-rejects-undeclared-capability",
        "sep-2575-server-sends-prompts-list-changed-on-subscription",
        "sep-2575-server-sends-tools-list-changed-on-subscription",
    }
)


class _Unscored(BaseModel):
    scenario: str
    leg: Literal["client", "server"]
    reason: str


class Requirements(BaseModel):
    """The suite's own list for one revision."""

    server: list[str]
    not_scored: list[_Unscored]

    @classmethod
    def read(cls, path: Path) -> "Requirements":
        """The list in a file of the suite."""
        return cls.model_validate(yaml.safe_load(path.read_text("utf-8")))

    def held_to(self) -> frozenset[str]:
        """The server scenarios that must pass: all that are scored, and most that are not."""
        left_out = chain.from_iterable(self.left_out().values())
        others = (unscored.scenario for unscored in self._others())
        return frozenset({*self.server, *others}.difference(left_out))

    def left_out(self) -> dict[str, list[str]]:
        """The other server scenarios, by the reason why they are left out."""
        found: dict[str, list[str]] = {}
        for unscored in self._others():
            for key in LEFT_OUT.keys() & {unscored.scenario, unscored.reason}:
                found.setdefault(LEFT_OUT[key], []).append(unscored.scenario)
        return found

    def _others(self) -> list[_Unscored]:
        return [unscored for unscored in self.not_scored if unscored.leg == "server"]
