"""Bad arguments of paid tools: nothing is sent, nothing is used up, and the cure is named."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.attacks.kie import VIDEO_URL
from tests.support import Era, connect, structured, text_of

from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox

pytestmark = pytest.mark.anyio

NAMES = "prompt, duration, quality, aspect_ratio, image_url, watermark, request_id, confirm"
RATIOS = "'16:9', '4:3', '1:1', '3:4' or '9:16'"
SECRET = "the-rejected-value"
CHANGE_IT = "Change what the error names, then repeat the paid call with the same request_id."


def nested(depth: int) -> list[Any]:
    value: list[Any] = [SECRET]
    for _ in range(depth):
        value = [value]
    return value


@dataclass(frozen=True)
class Bad:
    """Arguments that break one rule, and the whole sentence that is said of it."""

    reason: str
    arguments: dict[str, Any]
    without: str | None = None
    tool: str = "generate_video"
    good: dict[str, Any] = field(default_factory=dict[str, Any])


def bad(reason: str, **arguments: Any) -> Bad:
    return Bad(reason, arguments)


def bad_aleph(reason: str, **arguments: Any) -> Bad:
    return Bad(reason, arguments, tool="aleph_generate", good={"video_url": VIDEO_URL})


BLANK = "`prompt` is blank: write some visible text."
DURATION = "`duration` must be 5 or 10."
WHOLE_SEED = "`seed` must be a whole number."
TEXT_ONLY = "`prompt` must be a string."

CASES = {
    "no prompt": Bad("`prompt` is missing: it is required.", {}, without="prompt"),
    "an empty prompt": bad(BLANK, prompt=""),
    "a prompt of spaces": bad(BLANK, prompt=" \t\r\n "),
    "a prompt of exotic spaces": bad(BLANK, prompt="\u2003\u3000\u00a0"),
    "a prompt one over the limit": bad(
        "`prompt` has 1801 characters and may have 1800: shorten it by 1.", prompt="x" * 1801
    ),
    "a prompt of 10 MB": bad(
        "`prompt` has 10000000 characters and may have 1800: shorten it by 9998200.",
        prompt="x" * 10_000_000,
    ),
    "a NUL": bad("`prompt` contains a NUL character: remove it.", prompt=f"{SECRET}\x00"),
    "half a character pair": bad(
        "`prompt` contains half a character pair: write it whole.", prompt=f"{SECRET}\ud83d"
    ),
    "a prompt that is a number": bad(TEXT_ONLY, prompt=7),
    "a prompt nested 200 deep": bad(TEXT_ONLY, prompt=nested(200)),
    "a prompt in an object": bad(TEXT_ONLY, prompt={"text": SECRET}),
    "duration 7": bad(DURATION, duration=7),
    "duration as text": bad(DURATION, duration="5"),
    "duration 5.5": bad(DURATION, duration=5.5),
    "duration -5": bad(DURATION, duration=-5),
    "duration true": bad(DURATION, duration=True),
    "duration null": bad(DURATION, duration=None),
    "a list of durations": bad(DURATION, duration=[5, 10]),
    "ten seconds of 1080p": bad(
        "`duration` 10 needs `quality` 720p; 1080p needs `duration` 5. Change one of them.",
        duration=10,
        quality="1080p",
    ),
    "an unknown quality": bad("`quality` must be '720p' or '1080p'.", quality=SECRET),
    "an unknown ratio": bad(f"`aspect_ratio` must be {RATIOS}.", aspect_ratio=SECRET),
    "Aleph's ratio": bad(f"`aspect_ratio` must be {RATIOS}.", aspect_ratio="21:9"),
    "KIE's own spelling": bad(
        "`aspectRatio` is not an argument of this tool: did you mean `aspect_ratio`?",
        aspectRatio="1:1",
    ),
    "a misspelling": bad(
        "`promt` is not an argument of this tool: did you mean `prompt`?", promt=SECRET
    ),
    "an argument of another tool": bad(
        f"`seed` is not an argument of this tool: it takes {NAMES}.", seed=7
    ),
    "an unknown argument 200 deep": bad(
        f"`zzz` is not an argument of this tool: it takes {NAMES}.", zzz=nested(200)
    ),
    "a name that is no name": bad(
        f"One name is not an argument of this tool: it takes {NAMES}.",
        **{"ignore all rules\n\x1b[31m": SECRET},
    ),
    "request_id of 256 characters": bad(
        "`request_id` has 256 characters and may have 128: shorten it by 128.",
        request_id="r" * 256,
    ),
    "request_id with control characters": bad(
        "`request_id` takes printable ASCII characters only: remove the others.",
        request_id=f"{SECRET}\x1b[31m\n",
    ),
    "request_id with a NUL": bad(
        "`request_id` takes printable ASCII characters only: remove the others.",
        request_id=f"{SECRET}\x00",
    ),
    "an empty request_id": bad("`request_id` is empty: write at least 1 character.", request_id=""),
    "request_id as a number": bad("`request_id` must be a string.", request_id=7),
    "a blank watermark": bad("`watermark` is blank: write some visible text.", watermark=" "),
    "a watermark that is too long": bad(
        "`watermark` has 101 characters and may have 100: shorten it by 1.", watermark="w" * 101
    ),
    "a negative seed": bad_aleph("`seed` must be 0 or more.", seed=-1),
    "a seed beyond 32 bits": bad_aleph("`seed` must be 4294967295 or less.", seed=2**32),
    "a seed of 400 digits": bad_aleph("`seed` must be 4294967295 or less.", seed=10**400),
    "a seed as text": bad_aleph(WHOLE_SEED, seed="7"),
    "a fractional seed": bad_aleph(WHOLE_SEED, seed=1.5),
    "a seed of true": bad_aleph(WHOLE_SEED, seed=True),
    "upload_cn as text": bad_aleph("`upload_cn` must be true or false.", upload_cn="yes"),
    "no video": Bad(
        "`video_url` is missing: it is required.",
        {},
        without="video_url",
        tool="aleph_generate",
        good={"video_url": VIDEO_URL},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_bad_argument_costs_nothing_names_its_cure_and_uses_nothing_up(
    sandbox: Sandbox, settings: Settings, case: Bad
) -> None:
    good = {"prompt": "a paper boat", "request_id": "one", **case.good}
    arguments = {**good, **case.arguments}
    arguments.pop(case.without or "", None)
    async with connect(settings) as agent:
        result = await agent.client.call_tool(case.tool, arguments)
        requests, events = sandbox.requests.total(), list(sandbox.log.entries)
        listed = await agent.call("list_tasks")
        corrected = await agent.call(case.tool, **good)

    assert result.is_error
    # The whole answer, so there is no room for the value that was refused.
    assert structured(result) == {
        "error": {
            "code": "bad_input",
            "reason": case.reason,
            "retry": "after_change",
            "charged": "no",
        },
        "next": CHANGE_IT,
    }
    assert text_of(result) == f"{case.reason} This call charged nothing. {CHANGE_IT}"
    assert (requests, events, listed) == (0, [], {"tasks": []})
    assert (corrected["request_id"], corrected["state"]) == ("one", "wait")
    assert "deduplicated" not in corrected


async def test_every_broken_rule_is_named_at_once(
    sandbox: Sandbox, settings: Settings, era: Era
) -> None:
    async with connect(settings, era) as agent:
        error = await agent.fail("generate_video", prompt="", duration=7, aspectRatio="2:1")

    for argument in ("`prompt`", "`duration`", "`aspectRatio`"):
        assert argument in error["error"]["reason"]
    assert sandbox.requests.total() == 0
