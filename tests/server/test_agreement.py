"""Whether a task that a callback names is what a request asked for."""

import pytest

from kie_runway.models import AlephRequest, ExtendRequest, GenerateRequest, TaskState, TaskUpdate
from kie_runway.wire import agrees

TEXT = GenerateRequest(prompt="a boat", aspect_ratio="16:9", duration=10)
IMAGE = GenerateRequest(prompt="a boat", image_url="https://a.b/c.png")
MORE = ExtendRequest(task_id="t-0", prompt="it sinks")
SNOW = AlephRequest(prompt="snow", video_url="https://a.b/c.mp4", seed=7)


def update(parent_task_id: str | None = None, /, **parameters: object) -> TaskUpdate:
    return TaskUpdate(
        task_id="t-1",
        state=TaskState.WAIT,
        parent_task_id=parent_task_id,
        parameters=parameters,
    )


def test_the_same_request_agrees_whatever_kie_leaves_out_or_adds() -> None:
    assert agrees(TEXT, update(prompt="a boat"))
    assert agrees(TEXT, update(prompt="a boat", duration="10", imageUrl="", expandPrompt=True))
    assert agrees(IMAGE, update(prompt="a boat", imageUrl="https://a.b/c.png"))
    assert agrees(MORE, update("t-0", prompt="it sinks"))
    assert agrees(SNOW, update(prompt="snow", videoUrl="https://a.b/c.mp4", uploadCn=False, seed=7))


@pytest.mark.parametrize(
    ("request_", "parameters"),
    [
        (TEXT, {}),
        (TEXT, {"prompt": None}),
        (TEXT, {"prompt": "a boat."}),
        (TEXT, {"prompt": "a boat", "duration": 5}),
        (TEXT, {"prompt": "a boat", "imageUrl": "https://a.b/other.png"}),
        (IMAGE, {"prompt": "a boat", "imageUrl": "https://a.b/other.png"}),
        (SNOW, {"prompt": "snow", "videoUrl": "https://a.b/other.mp4"}),
        (SNOW, {"prompt": "snow", "seed": 8}),
    ],
)
def test_another_request_or_none_does_not_agree(
    request_: GenerateRequest | AlephRequest, parameters: dict[str, object]
) -> None:
    assert not agrees(request_, update(**parameters))


def test_an_extension_of_another_video_does_not_agree() -> None:
    assert not agrees(MORE, update("t-9", prompt="it sinks"))
