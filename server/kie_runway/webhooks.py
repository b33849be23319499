"""
Callbacks: their addresses, and what arrives there, checked and stored.

Whatever a callback says is only a hint: it names a task, and KIE itself is then asked about it.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Sequence
from typing import cast

from pydantic import SecretStr

from kie_runway.clock import Clock
from kie_runway.ledger.base import Inbox
from kie_runway.ledger.records import Entry
from kie_runway.models import RESULT_LIFETIME
from kie_runway.signature import RawHeaders, verify
from kie_runway.values import opaque_id

HOOKS_PATH = "/hooks/kie"
TOKEN_BYTES = 32
TOKEN_LIVES = RESULT_LIFETIME  # later there is nothing to tell
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in URL-safe Base64


class UnknownTokenError(Exception):
    """No task has this callback address, or not any more; never shown to an agent."""


class BadCallbackError(Exception):
    """What arrived is no callback of KIE's for this task; never shown to an agent."""


def new_token() -> str:
    """The unguessable part of one task's callback address."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What of a token may be stored: SHA-256 in hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def callback_address(base_url: str, token: str) -> str:
    """Where KIE is asked to call back."""
    return f"{base_url}{HOOKS_PATH}/{token}"


def read_task_id(body: bytes) -> str:
    """
    The id of the task that a callback is about, in any of KIE's layouts (contract §7, §8).

    Raises:
        BadCallbackError: There is none, it is malformed, or several contradict each other.
    """
    try:
        fields: object = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadCallbackError("it is no JSON") from exc
    if not isinstance(fields, dict):
        raise BadCallbackError("it is no JSON object")
    outer = cast("dict[str, object]", fields)
    data = outer.get("data")
    inner = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    candidates = (
        *(inner.get("task_id"), inner.get("taskId")),
        *(outer.get("taskId"), outer.get("task_id")),
    )
    named = {opaque_id(value) for value in candidates if value not in (None, "")}
    match list(named):
        case [str(task_id)]:
            return task_id
        case []:
            raise BadCallbackError("it names no task")
        case [None]:
            raise BadCallbackError("it names a task by what cannot be an id")
        case _:
            raise BadCallbackError("it names several tasks")


class Webhooks:
    """
    Takes callbacks in, durably; somebody else confirms them.

    Args:
        inbox: Where they are stored.
        keys: Any of them may have signed; without keys no signature is needed.
        clock: Tells whether addresses and signatures are still good.
        arrived: Called when there is something to confirm.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        keys: Sequence[SecretStr],
        clock: Clock,
        arrived: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._keys = keys
        self._clock = clock
        self._arrived = arrived

    async def entry_of(self, token: str) -> Entry:
        """
        The row whose callback address has this token.

        Raises:
            UnknownTokenError: There is none, or it is older than 14 days.
            LedgerError: The ledger cannot be read.
        """
        if not _TOKEN.fullmatch(token):
            raise UnknownTokenError
        entry = await self._inbox.entry_of(hash_token(token))
        if entry is None or self._clock.now() > (entry.sent_at or entry.created_at) + TOKEN_LIVES:
            raise UnknownTokenError
        return entry

    async def receive(self, entry: Entry, headers: RawHeaders, body: bytes) -> None:
        """
        Take in what arrived at a row's callback address; it is durable on return.

        A signed one changes nothing when it comes again; an unsigned one is then asked about anew.

        Raises:
            BadCallbackError: It is unreadable, or about another task.
            BadSignatureError: It should be signed and is not.
            LedgerError: The ledger cannot be written.
        """
        task_id = read_task_id(body)
        now = self._clock.now()
        signed_at = verify(self._keys, task_id, headers, now) if self._keys else None
        if entry.task_id not in (None, task_id):
            raise BadCallbackError("it names another task than its address")
        if await self._inbox.receive(entry.id, task_id, signed_at=signed_at, now=now):
            self._arrived()
