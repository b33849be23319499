"""Whether KIE answers, takes the key, and has credits left; by look-ups, which are free."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from pydantic import SecretStr

from kie_runway.addresses import check_media_url
from kie_runway.answers import Answer
from kie_runway.client import Deadlines, KieClient
from kie_runway.doctor.finding import Finding, failed, off, ok, warning
from kie_runway.errors import (
    BadInputError,
    BlockedError,
    KieRunwayError,
    NoKeyError,
    UnavailableError,
    WrongKeyError,
)
from kie_runway.exchange import Exchange
from kie_runway.prices import price_list
from kie_runway.settings import Settings

CHECK_S = 10.0
SKEW_MAX_S = 60  # callbacks are refused from five minutes on


@dataclass(frozen=True)
class StoredKey:
    """A key that a client keeps for the server; None when only the client can read it."""

    client: str
    key: SecretStr | None


_NETWORK = "Look at the network: DNS, firewall, VPN. Proxies of the environment are not used."
_NO_KEY = (
    "Make one at https://kie.ai/api-key and set KIE_API_KEY, or try everything for free with "
    "--sandbox."
)


async def check_account(settings: Settings, stored: StoredKey | None) -> Sequence[Finding]:
    """
    The key, and what is left on the account it belongs to.

    Args:
        settings: Of this process.
        stored: What a client keeps, which counts where this process has no key.
    """
    key, whose = settings.api_key, "it"
    if key is None and stored is not None:
        key, whose = stored.key, f"the one of {stored.client}"
        if key is None:
            says = f"none is set here; {whose} is its secret, and was not checked"
            return [off("key", says, "To check another: set KIE_API_KEY.")]
    async with KieClient(
        key,
        api_url=settings.api_url,
        upload_url=settings.upload_url,
        user_agent=settings.user_agent,
        deadlines=Deadlines(read_s=CHECK_S),
    ) as client:
        try:
            credits = float(await client.credits(patient=False))
        except NoKeyError:
            return [failed("key", "none is set here", _NO_KEY)]
        except WrongKeyError as exc:
            return [failed("key", f"{whose} is refused", exc.reason)]
        except (UnavailableError, BlockedError) as exc:
            return [warning("key", f"{whose} is set, but could not be checked", exc.reason)]
        except KieRunwayError as exc:
            return [failed("key", f"KIE does not serve {whose}", exc.reason)]
    cheapest = min(price.credits for price in price_list().prices)
    if credits < cheapest:
        left = warning(
            "credits",
            f"{credits:g}, and the cheapest video costs about {cheapest:g}",
            "Buy some at https://kie.ai.",
        )
    else:
        left = ok("credits", f"{credits:g} left")
    return [ok("key", f"KIE accepts {whose}"), left]


async def check_api(settings: Settings) -> Sequence[Finding]:
    """Whether KIE's API can be reached, and whether our clock agrees with its."""
    finding, answer = await _reach("KIE", settings, settings.api_url, unreached=failed)
    if answer is None:
        return [finding]
    return [finding, *_check_clock(answer, datetime.now(UTC))]


def _check_clock(answer: Answer, now: datetime) -> Sequence[Finding]:
    try:
        skew_s = (now - parsedate_to_datetime(answer.date or "")).total_seconds()
    except (TypeError, ValueError, OverflowError):  # it is no time at all
        return []
    if abs(skew_s) <= SKEW_MAX_S:
        return [ok("clock", "agrees with KIE's")]
    says = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} KIE's"
    cure = "Let the system set its time; callbacks are refused from 5 minutes on."
    return [warning("clock", says, cure)]


async def check_uploads(settings: Settings) -> Sequence[Finding]:
    """Whether the host that local files go to can be reached."""
    finding, _ = await _reach("uploads", settings, settings.upload_url, unreached=warning)
    return [finding]


async def _reach(
    name: str, settings: Settings, url: str, *, unreached: Callable[[str, str, str], Finding]
) -> tuple[Finding, Answer | None]:
    host = _host(url)
    begun = time.monotonic()
    answer = await _ask(settings, url)
    took_s = time.monotonic() - begun
    if answer is None:
        return unreached(name, f"{host} cannot be reached", _NETWORK), None
    if answer.http_status >= 500:
        says = f"{host} answers HTTP {answer.http_status}"
        return warning(name, says, "Wait a little."), answer
    return ok(name, f"{host} answers in {took_s:.1f} s"), answer


async def _ask(settings: Settings, url: str) -> Answer | None:
    """An answer of any kind, to a request that carries no key; None if there is none."""
    headers = {"User-Agent": settings.user_agent, "Accept-Encoding": "gzip"}
    try:
        return await Exchange(None).fresh(CHECK_S, method="GET", url=url, headers=headers)
    except Exception:  # whatever it was, there is no answer
        return None


def check_budget(settings: Settings) -> Sequence[Finding]:
    """What may be spent in a day."""
    if settings.daily_credits is None:
        return [off("budget", "no cap: KIE_DAILY_CREDITS is not set")]
    return [ok("budget", f"{settings.daily_credits:g} credits in 24 hours")]


async def check_callbacks(settings: Settings) -> Sequence[Finding]:
    """Whether KIE's callbacks can arrive, and are signed."""
    url = settings.callback_url
    if url is None:
        return [off("callbacks", "not used: tasks are looked up")]
    name = "callbacks"
    findings = [await _check_address(name, url, settings)]
    if not settings.webhook_keys:
        findings.append(
            warning(
                name,
                "they come unsigned",
                "Create a key at https://kie.ai/settings, and set it as KIE_WEBHOOK_HMAC_KEY.",
            )
        )
    return findings


async def _check_address(name: str, url: str, settings: Settings) -> Finding:
    host = _host(url)
    try:
        check_media_url(url, "KIE_CALLBACK_URL", settings.trusted_hosts)
    except BadInputError:
        return failed(name, f"KIE cannot reach {host}", "KIE_CALLBACK_URL takes a public address.")
    for path in ("/health", "/hooks/kie/doctor"):  # a proxy may pass on the hooks alone
        answer = await _ask(settings, url + path)
        if answer is not None and _is_ours(answer, path):
            if urlsplit(url).scheme == "http":
                cure = "Use https: whoever sees a callback's address can forge unsigned ones."
                return warning(name, f"{host} is ours, but not encrypted", cure)
            return ok(name, f"{host} is answered by this server")
    return failed(
        name,
        f"{host} is not answered by this server",
        "Start it with --http or --callbacks-port, and let your proxy or tunnel pass /hooks/kie "
        "on to that port.",
    )


def _is_ours(answer: Answer, path: str) -> bool:
    if path == "/health":
        return answer.http_status == 200 and b'"kie-runway-mcp"' in (answer.body or b"")
    return answer.http_status == 405  # hooks take POST alone


def _host(url: str) -> str:
    """What of an address may be shown: some hold a name and a password."""
    return urlsplit(url).netloc.rpartition("@")[2]
