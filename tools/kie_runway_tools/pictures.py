"""What an agent sees of a finished video: frames on a contact sheet, or else the thumbnail."""

import asyncio
import base64

import mcp.types as t

from kie_runway.app import App
from kie_runway.ledger.base import Entry

SHEET_TYPE = "image/jpeg"
# On top of the longest wait and of that for the file, still below what clients bear (60 s).
SHEET_WITHIN_S = 6.0
PICTURE_WITHIN_S = 8.0


async def first_picture(app: App, entry: Entry) -> list[t.ContentBlock]:
    """
    One image with the first finished answer about a task, for images are dear; then none.

    A contact sheet, where `media` is installed and it can be had at once; it is made to the end
    in any case, for `kie://tasks/{id}/frames`. Otherwise the thumbnail, if there is one.
    """
    if entry.id in app.shown:
        return []
    app.shown.add(entry.id)
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            return await _sheet(app, entry) or await _thumbnail(app, entry)
    except TimeoutError:
        return []


async def _sheet(app: App, entry: Entry) -> list[t.ContentBlock]:
    if not app.sheets.can_draw:
        return []
    try:
        async with asyncio.timeout(SHEET_WITHIN_S):
            sheet = await app.sheets.get(entry)
    except TimeoutError:
        return []
    return [_image(sheet, SHEET_TYPE)] if sheet else []


async def _thumbnail(app: App, entry: Entry) -> list[t.ContentBlock]:
    if entry.thumbnail_url is None:
        return []
    picture = await app.thumbnail(entry.thumbnail_url)
    return [_image(picture.data, picture.mime_type)] if picture else []


def _image(data: bytes, mime_type: str) -> t.ImageContent:
    return t.ImageContent(data=base64.b64encode(data).decode(), mime_type=mime_type)
