"""
An agent that knows nothing but how to read.

It calls a tool and then does what the answer says, word for word. It has no idea of videos, of
KIE or of money; where a sentence leaves it to guess, it stops with `Unclear`, and that sentence
has failed. All that it knows:

- `next` is a row of clauses. Each is a remark (`REMARKS`) or an order: call a tool, repeat the
  call, start it anew, tell or give the user something.
- A call is made with the task's id, or with its request_id where the order says so.
- What an order begins with says when it holds: later, once the user has mended something, if the
  state stays, after the call before it, or only if the user agrees, who is then asked.
- Of a tool error, too, it obeys `next` alone.

The user is a script (`User`). Being led to a new charge without having asked them is the one
thing that must never happen to it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from mcp.types import CallToolResult
from tests.support import structured, text_of

STEPS_MAX = 40  # of one journey; more means that the sentences lead in circles
PAID = {"generate_video", "extend_video", "aleph_generate"}

Arguments = dict[str, Any]


class Unclear(AssertionError):
    """A sentence that no reader could obey."""


class World(Protocol):
    """Where the agent lives."""

    async def call(self, tool: str, arguments: Arguments) -> CallToolResult:
        """Call a tool."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Wait."""
        ...

    def now(self) -> datetime:
        """What the clock on the wall says, in UTC."""
        ...


@dataclass
class User:
    """
    Whom the agent tells and asks.

    Attributes:
        agrees: The answer to every question.
        mend: What they do where only they can do something; None: nothing.
        change: Other arguments, where something has to change; None: no idea.
        thinks_better: Whether they agree after all, once they have said no.
        patience: How often they let the agent come back to something later.
        told: Every answer that they were shown.
        asked: Every question.
        agreed: How many new charges they agreed to.
    """

    agrees: bool = False
    mend: Callable[[], object] | None = None
    change: Arguments | None = None
    thinks_better: bool = False
    patience: int = 2
    told: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])
    agreed: int = 0

    def may_pay(self, question: str) -> bool:
        """Whether a new charge is all right."""
        self.asked.append(question)
        self.agreed += self.agrees
        return self.agrees

    def mends(self) -> bool:
        """Whether they did something about it; they have one idea."""
        mend, self.mend = self.mend, None
        if mend is not None:
            mend()
        return mend is not None

    def changes(self) -> Arguments | None:
        """What to change; they have one idea."""
        change, self.change = self.change, None
        return change

    def wants_it_after_all(self) -> bool:
        """Whether they think better of a no; they are asked about the price once more."""
        self.agrees, thinks_better = self.thinks_better, self.thinks_better
        self.thinks_better = False
        return thinks_better

    def waits(self) -> bool:
        """Whether they want the agent to come back to it."""
        self.patience -= 1
        return self.patience >= 0


@dataclass(frozen=True)
class Step:
    """
    A call.

    Attributes:
        after_s: The seconds until then.
        then: What follows once it has led to its end, and on which condition.
    """

    tool: str
    arguments: Arguments
    after_s: float = 0
    then: "tuple[str, Step] | None" = None


@dataclass
class ObedientAgent:
    """
    Obeys, and remembers.

    Attributes:
        world: Where it calls and waits.
        user: Whom it serves.
        answer: The structured content of the last answer.
        sentences: Every `next` that it read.
        steps: How many calls it made.
    """

    world: World
    user: User
    answer: Arguments = field(default_factory=Arguments)
    sentences: list[str] = field(default_factory=list[str])
    steps: int = 0
    _paid: Step | None = None
    _last: Step | None = None
    _warned: bool = False

    async def run(self, tool: str, **arguments: Any) -> Arguments:
        """Do what the user wants, and whatever follows from it; the last answer."""
        return await self._obey(Step(tool, arguments))

    def remember(self, tool: str, **arguments: Any) -> None:
        """Have made a call, as if long ago."""
        self._last = self._paid = Step(tool, arguments)

    async def once(self, tool: str, **arguments: Any) -> Arguments:
        """Make one call and read no further."""
        await self._do(Step(tool, arguments))
        return self.answer

    async def go_on(self) -> Arguments:
        """Take up where `once` left off."""
        return await self._obey(self.reads(self.answer["next"], str(self.answer), stays=False))

    async def _obey(self, step: Step | None) -> Arguments:
        while step is not None:
            if step.after_s:
                await self.world.pass_time(step.after_s)
            if step.then is not None:
                condition, then = step.then
                await self._obey(Step(step.tool, step.arguments))
                step = self._afterwards(condition, then)
                continue
            before = self.answer.get("state")
            result = await self._do(step)
            if "next" not in self.answer:
                break
            stays = self.answer.get("state") == before
            step = self.reads(self.answer["next"], text_of(result), stays=stays)
        return self.answer

    def _afterwards(self, condition: str, then: Step) -> Step | None:
        """What follows the call that an order named first."""
        match condition.capitalize():
            case "Once it is a success, ":
                return then if self.answer.get("state") == "success" else None
            case "If it is there, ":
                change = self.user.changes()  # they know which one they mean
                arguments = _changed(then.arguments, change or {})
                return None if change is None else Step(then.tool, arguments)
            case "If it is not there, ":
                listed = {task["request_id"] for task in self.answer.get("tasks", ())}
                return None if then.arguments.get("request_id") in listed else then
            case _:
                raise Unclear(condition)

    async def _do(self, step: Step) -> CallToolResult:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Unclear(f"led in circles: {self.sentences[-3:]}")
        if step.tool in PAID and self._warned:
            raise Unclear(f"led to what was forbidden: {self.sentences[-1]}")
        self._last = step
        if step.tool in PAID:
            self._paid = step
        result = await self.world.call(step.tool, step.arguments)
        self.answer = structured(result)
        return result

    def reads(self, sentence: str, shown: str, *, stays: bool) -> Step | None:
        """What `next` says to do; None: nothing more."""
        self.sentences.append(sentence)
        self._warned = "Do not start it again" in sentence
        step = None
        for clause in clauses(sentence):
            if any(re.fullmatch(remark, clause) for remark in REMARKS):
                continue
            order = re.match(r"(?:Tell the user|Give the user)(?: |$)", clause)
            if order is not None:
                self.user.told.append(shown)
                continue
            condition, order_text = _split(clause)
            if condition.capitalize() in AFTERWARDS:
                if step is None:
                    raise Unclear(clause)
                step = replace(step, then=(condition, self._order(order_text, 0, {})))
                continue
            held = self._holds(condition, shown, stays=stays)
            if held == "ends":
                return step
            if held != "passes":
                step = self._order(order_text, *held)
        return step

    def _holds(
        self, condition: str, shown: str, *, stays: bool
    ) -> tuple[float, Arguments] | Literal["ends", "passes"]:
        """
        Whether an order holds.

        Returns:
            The seconds until then, and other arguments; or that the order is passed over, or that
            all ends here.
        """
        after_s = self._seconds_of(condition)
        if after_s is not None:
            return (after_s, {}) if self.user.waits() else "ends"
        match condition.capitalize():
            case "":
                return 0, {}
            case "If it stays queued, ":
                return (0, {}) if stays else "passes"
            case "Only if they want it after all, ":
                return (0, {}) if self.user.wants_it_after_all() else "ends"
            case "Once mended, ":
                return (60, {}) if self.user.mends() else "ends"
            case (
                "Only if they agree to pay again, "
                | "Only if they agree to pay for another, "
                | "Only if they accept a possible second charge, "
            ):
                self._warned = False
                return (0, self.user.changes() or {}) if self.user.may_pay(shown) else "ends"
            case "Change what the error names, then ":
                self.user.told.append(shown)
                change = self.user.changes()
                return "ends" if change is None else (0, change)
            case _:
                raise Unclear(condition)

    def _seconds_of(self, condition: str) -> float | None:
        """The seconds that a condition names, or that it is until the time that it names."""
        if seconds := re.fullmatch(r"In (\d+) seconds, ", condition):
            return float(seconds[1])
        at = re.fullmatch(r"After (?:(\S+) )?(\d\d):(\d\d) UTC, ", condition)
        if at is None:
            return WHEN.get(condition.capitalize())
        now = self.world.now()
        day = datetime.fromisoformat(f"{at[1]}T00:00Z") if at[1] else now
        time = day.replace(hour=int(at[2]), minute=int(at[3]), second=0, microsecond=0)
        until = time - now if at[1] else (time - now) % timedelta(days=1)
        return until.total_seconds() + 60

    def _order(self, text: str, after_s: float, change: Arguments) -> Step:
        if call := _CALL.fullmatch(text):
            wait = {"wait_seconds": int(call["wait"])} if call["wait"] else {}
            task = {"task_id": call["id"] or self._id_for(call)} if call["tool"] != LIST else {}
            return Step(call["tool"], task | wait, after_s or (30 if call["soon"] else 0))
        assert self._last is not None
        if text.lower() == "repeat the call":
            return Step(self._last.tool, _changed(self._last.arguments, change), after_s)
        assert self._paid is not None
        arguments, request_id = self._paid.arguments, self.answer.get("request_id")
        if repeat := _REPEAT.fullmatch(text):
            same = {"request_id": request_id} if request_id else {}
            confirm = {"confirm": True} if repeat["confirm"] else {}
            return Step(self._paid.tool, _changed(arguments, same | change | confirm), after_s)
        if text.lower() == "start it with a new request_id":
            new = {"request_id": f"{request_id or arguments['request_id']}-new"}
            return Step(self._paid.tool, _changed(arguments, new | change), after_s)
        raise Unclear(text)

    def _id_for(self, call: re.Match[str]) -> str:
        """Of the task that was told of; an error tells of none, so it is what was asked for."""
        assert self._last is not None
        known = self._last.arguments | self.answer
        by = "request_id" if call["by_request"] else "task_id"
        return str(known.get(by) or known["request_id"])


# What asks for nothing.
REMARKS = (
    r"Not sent yet",
    r"that sends it once",
    r"Use the request_id while there is no task_id",
    r"the task goes on at KIE",
    r"KIE calls this state [a-z_]+",
    r"Judge the picture",
    r"Do not start it again",
    r"it may have been charged",
    r"The balance fell by [\d.]+ credits",
    r"The balance did not move, which hints at no charge",
    r"KIE may call back",
    r"(after \d\d:\d\d UTC|then) it can be replaced, "
    r"if they accept a possible second charge",
    r"Even after all this time it may have been charged",
    r"After all this time it was probably never created",
    r"A newer request took its place",
    r"it is being saved",
    r"save_video keeps it past expires_at",
    r"KIE has deleted its own copy",
    r"KIE has deleted it, and only a new, paid video can replace it",
    r"Nothing was charged",
    r"aspect_ratio was left out",
    r"the image decides",
    r"what was started is there",
    r"do not repeat it",
    r"only a new, paid video can replace it",
)
LIST = "list_tasks"
AFTERWARDS = ("Once it is a success, ", "If it is there, ", "If it is not there, ")
WHEN = {"In 10 minutes, ": 600, "In an hour, ": 3600, "Later, ": 600}
_CONDITION = re.compile(
    r"(?i:in 10 minutes|in \d+ seconds|in an hour|later|after [\d: -]+ utc|if it stays queued|"
    r"once mended|once it is a success|if it is(?: not)? there|"
    r"only if they [a-z ]+|change what the error names, then)(?:,|(?<=then)) "
)
_CALL = re.compile(
    r"[Cc]all (?P<tool>[a-z_]+)(?: again)?(?P<by_request> with this request_id)?"
    r"(?: with task_id=(?P<id>\S+)| for that task| for its id)?"
    r"(?: with wait_seconds=(?P<wait>\d+)|(?P<soon> in 30 seconds))?"
)
_REPEAT = re.compile(
    r"[Rr]epeat the paid call with (?:this request_id|the same request_id|it)"
    r"(?P<confirm> and confirm=true)?"
)


def clauses(sentence: str) -> list[str]:
    """A sentence, or a few, in pieces that each say one thing."""
    return [clause for clause in re.split(r"[.;:] |\.$", sentence) if clause]


def _changed(arguments: Arguments, change: Arguments) -> Arguments:
    """Arguments with others in place of some; None leaves one out."""
    return {name: value for name, value in (arguments | change).items() if value is not None}


def _split(clause: str) -> tuple[str, str]:
    """The condition that an order begins with, and the order."""
    condition = _CONDITION.match(clause)
    return (condition[0], clause[condition.end() :]) if condition else ("", clause)
