"""Shared by all tests of the server."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
