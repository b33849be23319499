"""Reading the bodies of requests."""

import json
from typing import Any, cast

from starlette.requests import Request

from kie_runway_sandbox.validation import Refused


async def read_object(request: Request) -> dict[str, Any]:
    """
    The JSON object in a request's body.

    Raises:
        Refused: Code 400, it is something else.
    """
    try:
        body: Any = json.loads(await request.body())
        # Refuses what JSON can smuggle in but nobody can write down again: lone
        # surrogates and infinite numbers.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the request body is not valid JSON") from error
    if not isinstance(body, dict):
        raise Refused(400, "the request body is not a JSON object")
    return cast(dict[str, Any], body)
