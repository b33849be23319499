"""upload_file: a local picture or video as an address that the paid tools take."""

from datetime import datetime
from typing import Annotated

import mcp.types as t
from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from kie_runway.app import Services
from kie_runway.errors import BadInputError
from kie_runway.models import URL_MAX_CHARS, AlephRequest, GenerateRequest
from kie_runway.shown import one_line
from kie_runway_tools.calling import app_of
from kie_runway_tools.client_roots import PathRoots, uris

NAME_MAX_CHARS = 255
NAME_SHOWN_CHARS = 80

_TOOLS = {
    **dict.fromkeys(GenerateRequest.media, "generate_video"),
    **dict.fromkeys(AlephRequest.media, "aleph_generate"),
}


class Upload(BaseModel):
    """An uploaded file; whoever knows its address can read it."""

    url: str
    mime_type: str
    size_bytes: int
    expires_at: datetime
    next: Annotated[str, Field(description="What to do now.")]


async def upload_file(
    ctx: Context[Services],
    roots: PathRoots,
    path: Annotated[
        str | None, Field(max_length=URL_MAX_CHARS, description="Absolute path or file:// URI.")
    ] = None,
    data: Annotated[str | None, Field(description="Or the content in Base64.")] = None,
    file_name: Annotated[str | None, Field(max_length=NAME_MAX_CHARS)] = None,
) -> Annotated[t.CallToolResult, Upload]:
    """Turn a local JPG, PNG, WebP or MP4 of up to 10 MB into a public URL for 24 hours. Free."""
    app = await app_of(ctx)
    if (path is None) == (data is None):
        raise BadInputError("Give either `path` or `data`.")
    if path is not None:
        stored = await app.uploader.upload_file(path, uris(roots))
    else:
        assert data is not None
        stored = await app.uploader.upload_data(data)
    uses = " or ".join(f"{argument} of {_TOOLS[argument]}" for argument in stored.fits)
    upload = Upload(
        url=stored.url,
        mime_type=stored.mime_type,
        size_bytes=stored.size_bytes,
        expires_at=stored.expires_at.replace(microsecond=0),
        next=f"Pass url as {uses}.",
    )
    name = one_line(file_name or "The file", NAME_SHOWN_CHARS)
    line = f"{name} is at {upload.url} until {upload.expires_at:%Y-%m-%d %H:%M} UTC. {upload.next}"
    return t.CallToolResult(
        content=[t.TextContent(text=line)], structured_content=upload.model_dump(mode="json")
    )
