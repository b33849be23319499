"""What half of a server's start goes into, done once for all servers of a test run."""

from functools import cache

import httpx
import pytest

from kie_runway import server
from kie_runway_tools.catalog import build_tools

# The results hold nothing of a server, a test or a setting.
_tools = cache(build_tools)
_certificates = cache(httpx.create_ssl_context)


def build_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all servers share the schemas of their tools and the machine's certificates."""
    monkeypatch.setattr(server, "build_tools", _tools)
    monkeypatch.setattr(httpx, "create_ssl_context", _certificates)
