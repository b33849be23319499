"""What the three paid tools do alike."""

import mcp.types as t
from mcp.server.mcpserver import Context

from kie_runway.addresses import check_media_url
from kie_runway.app import App, Services
from kie_runway.ledger.records import Entry
from kie_runway.models import FILE_URI, TaskState
from kie_runway_tools.approval import Answer, check
from kie_runway_tools.calling import app_of
from kie_runway_tools.card_host import audience_of
from kie_runway_tools.ordering import Order
from kie_runway_tools.results import task_result

_MAY_BE_SENT = (TaskState.QUEUED, TaskState.SUBMITTING)


def check_media(app: App, **urls: str | None) -> None:
    """
    Refuse media URLs that KIE cannot fetch: it would notice only after charging.

    Raises:
        BadInputError: Names the argument, the rule and the cure.
    """
    for argument, url in urls.items():
        if url is not None and not url.startswith(FILE_URI):
            check_media_url(
                url,
                argument,
                app.settings.trusted_hosts,
                https_only=argument == "video_url",  # Aleph's pages say so (contract §5)
            )


async def start(
    ctx: Context[Services],
    order: Order,
    answer: Answer,
    request_id: str | None,
    confirm: bool,
) -> t.CallToolResult:
    """
    Start a paid task and answer with it, whatever became of it.

    Raises:
        DeclinedError: The user does not agree to the price.
    """
    check(answer)
    app = await app_of(ctx)
    earlier = await _known(app, order, request_id, confirm)
    if earlier is not None:
        return await task_result(app, earlier, audience_of(ctx), deduplicated=True, note=order.note)
    started = await app.submitter.start(
        app.account,
        await app.uploader.upload(order.given),
        request_id,
        confirmed=confirm,
        stands_for=order.given.stands_for,
    )
    return await task_result(
        app,
        started.entry,
        audience_of(ctx),
        deduplicated=started.deduplicated,
        note=order.note,
    )


async def _known(app: App, order: Order, request_id: str | None, confirm: bool) -> Entry | None:
    """What an earlier call started, where its files need not be uploaded once more."""
    if not order.given.files:
        return None
    foreseen = await app.submitter.foresee(
        app.account,
        order.given.request,
        request_id,
        confirmed=confirm,
        stands_for=order.given.stands_for,
    )
    if foreseen.spends or foreseen.earlier is None or foreseen.earlier.state in _MAY_BE_SENT:
        return None
    return foreseen.earlier
