"""What the scripted model does with the tools, knowing no more than its framework hands it."""

import re
from dataclasses import dataclass, field

from tests.frameworks.model import Call, Result, Script

BOAT = "a paper boat"
DOOMED = "a paper boat [moderated]"  # the sandbox's KIE takes it, and fails it
LOOKS_MAX = 5
WAIT_S = 45
_TASK_ID = re.compile(r'"task_id": ?"(\w+)"|generate (\w+):')
_FILE = re.compile(r'"file": ?"([^"]+)"|Saved at (\S+\.mp4)')
_CREDITS = re.compile(r'"credits": ?([\d.]+)|([\d.,]+) credits left')


@dataclass
class Seen:
    """What the model got to see."""

    results: dict[str, Result] = field(default_factory=dict[str, Result])
    """Answers, by what they were about."""
    task_ids: list[str] = field(default_factory=list[str])
    """From the answers to the three identical calls."""
    file: str = ""
    spent: float = 0


def journey(seen: Seen) -> Script:
    """
    A wrong call, a video that fails, one that is asked for three times, its end and its file.

    Two of the three calls are made in one turn, which frameworks run at once; the third fills
    optional arguments with null, as models do.
    """
    results = seen.results
    [before] = yield [Call("get_credits")]
    [results["refused"]] = yield [Call("generate_video", {"prompt": BOAT, "duration": 7})]
    [doomed] = yield [Call("generate_video", {"prompt": DOOMED})]
    [results["failed"]] = yield [_look(doomed)]
    boat = Call("generate_video", {"prompt": BOAT})
    made = yield [boat, boat]
    made += yield [Call("generate_video", {"prompt": BOAT, "image_url": None, "request_id": None})]
    results["made"], results["repeated"] = made[0], made[-1]
    seen.task_ids = [_found(_TASK_ID, result) for result in made]
    for _ in range(LOOKS_MAX):
        [results["done"]] = yield [_look(made[0])]
        if "success" in results["done"].text:
            break
    [results["saved"]] = yield [Call("save_video", {"task_id": seen.task_ids[0]})]
    seen.file = _found(_FILE, results["saved"])
    [after] = yield [Call("get_credits")]
    seen.spent = _credits(before) - _credits(after)
    return f"It is at {seen.file}"


def _look(result: Result) -> Call:
    return Call("get_task", {"task_id": _found(_TASK_ID, result), "wait_seconds": WAIT_S})


def _credits(result: Result) -> float:
    return float(_found(_CREDITS, result).replace(",", ""))


def _found(pattern: re.Pattern[str], result: Result) -> str:
    found = pattern.search(result.text)
    assert found is not None, f"no {pattern.pattern} in {result.text[:500]}"
    return str(found[1] or found[2])
