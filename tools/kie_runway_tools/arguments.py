"""Arguments that several tools share, in the words the model reads."""

from typing import Annotated

from pydantic import Field

from kie_runway.models import Quality, RequestId, TaskId, Watermark

RequestIdArgument = Annotated[
    RequestId | None,
    Field(
        description="Reuse the same one whenever you repeat this call for the same video "
        "(time-out, error, restart); choose a new one only for a deliberately new, separately "
        "paid video."
    ),
]
ConfirmArgument = Annotated[
    bool,
    Field(description="true only when `next` offers it and the user accepts a second charge."),
]
TaskIdArgument = Annotated[TaskId, Field(description="task_id or request_id of the task.")]
QualityArgument = Annotated[Quality, Field(description="1080p: 5 s only, and cannot be extended.")]
WatermarkArgument = Annotated[Watermark | None, Field(description="Text drawn on the video.")]
