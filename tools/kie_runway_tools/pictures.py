"""What an agent sees of a finished video: frames on a contact sheet, or else the thumbnail."""

import asyncio
import base64
from datetime import timedelta
from typing import Final

import mcp.types as t

from kie_runway.app import App
from kie_runway.ledger.records import Entry

SHEET_TYPE = "image/jpeg"
# On top of the longest wait and of that for the file, still below what clients bear (60 s).
SHEET_WITHIN_S = 6.0
PICTURE_WITHIN_S = 8.0
SEEN_FOR: Final = timedelta(minutes=10)  # then another conversation may be asking


def is_due(app: App, entry: Entry) -> bool:
    """Whether whoever asks has yet to see a finished video; images are dear, so once is enough."""
    seen_at = app.pictured.get(entry.id)
    return seen_at is None or app.clock.now() - seen_at > SEEN_FOR


async def first_picture(app: App, entry: Entry) -> list[t.ContentBlock]:
    """
    One image with the first finished answer about a task; then none, for a while.

    A contact sheet, where `media` is installed. What stands in for one that is late does not
    count, so that the next answer has it. Otherwise the thumbnail, if there is one.
    """
    if not is_due(app, entry):
        return []
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            try:
                async with asyncio.timeout(SHEET_WITHIN_S):
                    picture = await _sheet(app, entry)
            except TimeoutError:
                return await _thumbnail(app, entry)
            picture = picture or await _thumbnail(app, entry)
    except TimeoutError:
        return []
    app.pictured[entry.id] = app.clock.now()
    return picture


async def _sheet(app: App, entry: Entry) -> list[t.ContentBlock]:
    if not app.sheets.can_draw:
        return []
    sheet = await app.sheets.get(entry)  # made to the end in any case
    return [_image(sheet, SHEET_TYPE)] if sheet else []


async def _thumbnail(app: App, entry: Entry) -> list[t.ContentBlock]:
    if entry.thumbnail_url is None:
        return []
    picture = await app.thumbnail(entry.thumbnail_url)
    return [_image(picture.data, picture.mime_type)] if picture else []


def _image(data: bytes, mime_type: str) -> t.ImageContent:
    return t.ImageContent(data=base64.b64encode(data).decode(), mime_type=mime_type)
