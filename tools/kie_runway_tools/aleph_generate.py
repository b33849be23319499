"""aleph_generate: an existing video, restyled."""

from typing import Annotated

from mcp.server.mcpserver import Context, Resolve
from pydantic import Field

from kie_runway.app import Services
from kie_runway.models import AlephAspectRatio, AlephRequest, MediaAddress, Prompt, Seed
from kie_runway_tools.approval import Answer, asking
from kie_runway_tools.arguments import ConfirmArgument, RequestIdArgument, WatermarkArgument
from kie_runway_tools.calling import app_of
from kie_runway_tools.client_roots import RestylingRoots, uris
from kie_runway_tools.ordering import Order
from kie_runway_tools.results import TaskResult
from kie_runway_tools.starting import check_media, start


async def _order(
    ctx: Context[Services],
    roots: RestylingRoots,
    prompt: str,
    video_url: str,
    aspect_ratio: AlephAspectRatio | None,
    seed: int | None,
    reference_image_url: str | None,
    watermark: str | None,
    upload_cn: bool,
) -> Order:
    app = await app_of(ctx)
    check_media(app, video_url=video_url, reference_image_url=reference_image_url)
    request = AlephRequest(
        prompt=prompt,
        video_url=video_url,
        aspect_ratio=aspect_ratio,
        seed=seed,
        reference_image_url=reference_image_url,
        watermark=watermark,
        upload_cn=upload_cn,
    )
    return Order(await app.uploader.read(request, uris(roots)))


async def aleph_generate(
    ctx: Context[Services],
    order: Annotated[Order, Resolve(_order)],
    answer: Annotated[Answer, Resolve(asking(_order))],
    prompt: Annotated[Prompt, Field(description="What to change, and what to keep.")],
    video_url: Annotated[
        MediaAddress,
        Field(
            description="Public https URL, such as a task's video_url, or local file:// URI; up "
            "to 10 MB, first 5 s are used."
        ),
    ],
    aspect_ratio: AlephAspectRatio | None = None,
    seed: Seed | None = None,
    reference_image_url: Annotated[
        MediaAddress | None, Field(description="Image whose style to follow; URL as for video_url.")
    ] = None,
    watermark: WatermarkArgument = None,
    upload_cn: Annotated[bool, Field(description="Store the result in China.")] = False,
    request_id: RequestIdArgument = None,
    confirm: ConfirmArgument = False,
) -> TaskResult:
    """Restyle or edit an existing video with Aleph. Paid: about 110 credits; it failed often in
    August 2026, so warn the user first. Then call aleph_get_task until it ends."""
    return await start(ctx, order, answer, request_id, confirm)
