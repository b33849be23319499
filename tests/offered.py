"""A client's directories, as it tells servers of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcp.client import ClientRequestContext
from mcp.types import ErrorData, ListRootsResult, Root
from pydantic import FileUrl


@dataclass
class Offered:
    """What a client answers when a server asks; each question is counted."""

    paths: Sequence[Path] = ()
    error: ErrorData | None = None
    asked: int = field(default=0)

    async def __call__(self, context: ClientRequestContext) -> ListRootsResult | ErrorData:
        self.asked += 1
        roots = [Root(uri=FileUrl(path.as_uri())) for path in self.paths]
        return self.error or ListRootsResult(roots=roots)
