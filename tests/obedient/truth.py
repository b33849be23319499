"""What must hold at the end of a journey, as the sandbox knows it."""

from tests.obedient.agent import ObedientAgent
from tests.obedient.world import SmallWorld


def assert_ends(
    agent: ObedientAgent, world: SmallWorld, state: str, *, charges: int, unasked: int = 1
) -> None:
    """
    A journey has ended, truly told and truly paid.

    Args:
        agent: Who made it.
        world: Where.
        state: The state that the user was told of last.
        charges: How many videos KIE charged for.
        unasked: How many of them the user wanted from the start.
    """
    task = agent.answer
    assert task["state"] == state, task
    assert world.charges == charges
    assert charges <= unasked + agent.user.agreed
    assert any(f": {state}" in told for told in agent.user.told[-1:]), agent.user.told
    match task["charged"]:
        case "no":
            assert charges < unasked + agent.user.agreed
        case "yes":
            assert charges >= 1
        case doubt:
            assert doubt == "unknown"
    if "task_id" in task and state != "expired":
        at_kie = world.sandbox.task(task["task_id"])
        assert at_kie.state == state
        assert task.get("video_url") is None or task["task_id"] in task["video_url"]
