"""generate_video: text or an image to a video."""

from typing import Annotated, Literal

from mcp.server.mcpserver import Context, Resolve
from pydantic import Field

from kie_runway.app import Services
from kie_runway.models import AspectRatio, GenerateRequest, MediaAddress, Prompt, Quality
from kie_runway_tools.approval import Answer, asking
from kie_runway_tools.arguments import (
    ConfirmArgument,
    QualityArgument,
    RequestIdArgument,
    WatermarkArgument,
)
from kie_runway_tools.calling import app_of
from kie_runway_tools.client_roots import ImageRoots, uris
from kie_runway_tools.ordering import Order
from kie_runway_tools.results import TaskResult
from kie_runway_tools.starting import check_media, start


async def _order(
    ctx: Context[Services],
    roots: ImageRoots,
    prompt: str,
    duration: Literal[5, 10],
    quality: Quality,
    aspect_ratio: AspectRatio | None,
    image_url: str | None,
    watermark: str | None,
) -> Order:
    app = await app_of(ctx)
    check_media(app, image_url=image_url)
    request = GenerateRequest(
        prompt=prompt,
        duration=duration,
        quality=quality,
        aspect_ratio=None if image_url else aspect_ratio or "16:9",
        image_url=image_url,
        watermark=watermark,
    )
    note = "aspect_ratio was left out: the image decides." if image_url and aspect_ratio else ""
    return Order(await app.uploader.read(request, uris(roots)), note)


async def generate_video(
    ctx: Context[Services],
    order: Annotated[Order, Resolve(_order)],
    answer: Annotated[Answer, Resolve(asking(_order))],
    prompt: Annotated[Prompt, Field(description="Subject, motion, camera, light.")],
    duration: Annotated[Literal[5, 10], Field(description="Seconds; 10 only at 720p.")] = 5,
    quality: QualityArgument = "720p",
    aspect_ratio: Annotated[
        AspectRatio | None,
        Field(description="Default 16:9; ignored with image_url, whose shape wins."),
    ] = None,
    image_url: Annotated[
        MediaAddress | None,
        Field(description="First frame: JPG or PNG, up to 10 MB; public URL or local file:// URI."),
    ] = None,
    watermark: WatermarkArgument = None,
    request_id: RequestIdArgument = None,
    confirm: ConfirmArgument = False,
) -> TaskResult:
    """Start a Runway video from text or an image. Paid: 12 to 30 credits. Takes 1 to 10 minutes:
    call get_task with the returned task_id until it ends."""
    return await start(ctx, order, answer, request_id, confirm)
