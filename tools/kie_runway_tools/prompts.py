"""Prompts that users pick: from an idea to a video that was looked at and saved."""

from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.prompts.base import Prompt as McpPrompt
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from kie_runway.errors import BadInputError
from kie_runway.models import URL_MAX_CHARS, AspectRatio, Prompt, Quality, encoded
from kie_runway.shown import one_line
from kie_runway_tools.icons import ICONS

Duration = Literal["5", "10"]  # arguments of prompts are strings


def _address(text: str) -> str:
    """Of what KIE can fetch, or this server upload."""
    if not text.startswith(("https://", "file://")):
        raise PydanticCustomError("source", "must be an https or file URL")
    return encoded(text)


def _task_or_address(text: str) -> str:
    return _address(text) if "://" in text else encoded(text)


_Bounded = Field(min_length=1, max_length=URL_MAX_CHARS)
Image = Annotated[str, AfterValidator(_address), _Bounded]
Video = Annotated[str, AfterValidator(_task_or_address), _Bounded]
DurationArgument = Annotated[Duration, Field(description="Seconds: 5, or 10 at 720p.")]
QualityArgument = Annotated[Quality, Field(description="720p, or 1080p for 5 s.")]


async def text_to_video(
    idea: Annotated[Prompt, Field(description="What the video shows.")],
    duration: DurationArgument = "5",
    quality: QualityArgument = "720p",
    aspect_ratio: Annotated[
        AspectRatio, Field(description="16:9, 4:3, 1:1, 3:4 or 9:16.")
    ] = "16:9",
) -> str:
    """A video from words: written, priced, made, looked at, saved."""
    _check(duration, quality)
    return _journey(
        f"Make a video of this idea: {one_line(idea)}",
        "Write the prompt: one shot; subject, motion, camera, light.",
        f"generate_video with duration={duration}, quality={quality}, aspect_ratio={aspect_ratio}",
        "get_task",
    )


async def image_to_video(
    image: Annotated[
        Image, Field(description="Its first frame: https or file URL of a JPG or PNG.")
    ],
    motion: Annotated[Prompt, Field(description="What moves, and how.")],
    duration: DurationArgument = "5",
    quality: QualityArgument = "720p",
) -> str:
    """An image brought to life: the image is the first frame and sets the shape."""
    _check(duration, quality)
    return _journey(
        f"Make a video that begins with the image {image} and moves like this: {one_line(motion)}",
        "Write the prompt: only what moves and what the camera does; the image shows the rest.",
        f"generate_video with image_url={image}, duration={duration}, quality={quality}",
        "get_task",
    )


async def restyle_video(
    video: Annotated[Video, Field(description="A finished task's id, or an https or file URL.")],
    change: Annotated[Prompt, Field(description="What to change, and what to keep.")],
) -> str:
    """A video changed by Aleph: its style, its light, or things in it."""
    source = (
        f"video_url={video}"
        if "://" in video
        else f"the video_url of task {video} (get_task or aleph_get_task has it)"
    )
    return _journey(
        f"Change the video {video} like this: {one_line(change)}",
        "Write the prompt: a verb, the one change, then what stays. Aleph uses the first 5 s.",
        f"aleph_generate with {source}",
        "aleph_get_task",
    )


PROMPTS = (
    (text_to_video, "Text to video"),
    (image_to_video, "Image to video"),
    (restyle_video, "Restyle a video (Aleph)"),
)


def add_prompts(server: MCPServer[Any]) -> None:
    """Give a server its prompts."""
    for function, title in PROMPTS:
        server.add_prompt(McpPrompt.from_function(function, title=title, icons=ICONS))


def _check(duration: Duration, quality: Quality) -> None:
    """
    Refuse what `generate_video` would.

    Raises:
        BadInputError: 10 s at 1080p.
    """
    if (duration, quality) == ("10", "1080p"):
        raise BadInputError("`duration` 10 needs `quality` 720p; 1080p needs `duration` 5.")


def _journey(wish: str, writing: str, start: str, look: str) -> str:
    """The user's wish, and the way from it to a saved video."""
    return "\n".join(
        (
            f"{wish}\n",
            f"1. {writing} kie://guide has more.",
            "2. Tell me the price (kie://pricing) and the balance (get_credits); go on if I agree.",
            f"3. Call {start} and a request_id of your choice. If the call breaks off, repeat it "
            "with the same one.",
            f"4. Call {look} with the longest wait_seconds, again until it ends. Do what `next` "
            "says.",
            "5. Look at the picture it returns, or at kie://tasks/{task_id}/frames. Tell me what "
            "is wrong in motion, framing or details. Another try is another charge: ask me.",
            "6. Give me the file; call save_video if there is none yet.",
        )
    )
