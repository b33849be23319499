"""What the tests of saving share: a video and a store on loopback."""

from pathlib import Path

import pytest
from tests.server.file_host import FileHost

from kie_runway.errors import DownloadError
from kie_runway.fetch import Fetcher
from kie_runway.media import VideoStore


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


VIDEO = box(b"ftyp", b"isom\0\0\2\0") + box(b"moov", bytes(200)) + box(b"mdat", bytes(600_000))


def store_for(directory: Path, host: FileHost) -> VideoStore:
    return VideoStore(directory, Fetcher(trusted_hosts=[host.address], user_agent="agent/1.0"))


async def refuse(store: VideoStore, host: FileHost, match: str, name: str = "clip") -> None:
    """Saving fails with a reason that matches."""
    with pytest.raises(DownloadError, match=match):
        await store.save(name, host.url("/clip"))
