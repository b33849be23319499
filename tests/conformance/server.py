"""
Serves the fixtures as the product serves itself, on a free loopback port.

The address is in the log on stderr.
"""

import asyncio

from tests.conformance.fixtures import FixtureServer

from kie_runway.http_app import serve_http
from kie_runway.logs import configure_logging
from kie_runway.redaction import Redactor

if __name__ == "__main__":
    configure_logging("INFO", Redactor([]))
    asyncio.run(serve_http(FixtureServer(), "127.0.0.1", 0))
