"""What the three paid tools do alike."""

import mcp.types as t

from kie_runway.addresses import check_media_url
from kie_runway.app import App
from kie_runway.models import PaidRequest
from kie_runway_tools.results import task_result


def check_media(app: App, **urls: str | None) -> None:
    """
    Refuse media URLs that KIE cannot fetch: it would notice only after charging.

    Raises:
        BadInputError: Names the argument, the rule and the cure.
    """
    for argument, url in urls.items():
        if url is not None:
            check_media_url(
                url,
                argument,
                app.settings.trusted_hosts,
                https_only=argument == "video_url",  # Aleph's pages say so (contract §5)
            )


async def start(
    app: App,
    request: PaidRequest,
    request_id: str | None,
    confirm: bool,
    *,
    note: str = "",
) -> t.CallToolResult:
    """Start a paid task and answer with it, whatever became of it."""
    started = await app.submitter.start(app.account, request, request_id, confirmed=confirm)
    return await task_result(app, started.entry, deduplicated=started.deduplicated, note=note)
