"""Why tasks fail after they were created (contract §4, §5, §7.5)."""

import re
from pathlib import Path

from kie_runway_sandbox.media import PART_FILES, Located, Media, TaskPart
from kie_runway_sandbox.tasks import Failure, Task
from kie_runway_sandbox.uploads import sniff

MODERATED = "[moderated]"
MAGIC_WORD = re.compile(r"\[fail:([^\]]+)\]")

# Fragments by which clients recognise reasons, in sentences around them.
REASONS = (
    "Get image info failed, check that the image can be read.",
    "Inappropriate content was found in the image or video.",
    "The image format is not supported, use JPG or PNG.",
    "This needs a Standard membership of the upstream account.",
    "Too many concurrent generations upstream.",
    "The trial of HD quality is used up.",
    "The width or height of the image is not supported.",
    "The upload failed for network reasons.",
    "The AI moderator refused this prompt.",
    "The prompt must not exceed 2048 characters.",
    "NSFW content was found in the prompt.",
    "internal error, please try again later.",
)


def reason(fragment: str) -> str:
    """The sentence around a fragment of §7.5; any other text is taken as it is."""
    return next((text for text in REASONS if fragment.lower() in text.lower()), fragment)


def judge(task: Task, media: Media) -> Failure | None:
    """Why a task that begins generating will fail; None if it will not."""
    failure = _magic_failure(task.body["prompt"])
    if failure is not None:
        return failure
    match task.kind:
        case "generate":
            return _image_failure(task.body.get("imageUrl"), media)
        case "extend":
            return _parent_failure(task, media)
        case "aleph":
            return _video_failure(task.body["videoUrl"], media) or _image_failure(
                task.body.get("referenceImage"), media
            )


def _magic_failure(prompt: str) -> Failure | None:
    """
    `[moderated]` refuses the prompt, `[fail:400]` and `[fail:500]` fail with that code,
    `[fail:NSFW]` with the reason that has this fragment, `[fail:any text]` with that text.
    """
    if MODERATED in prompt:
        return Failure(400, reason("AI moderator"))
    found = MAGIC_WORD.search(prompt)
    if found is None:
        return None
    match found[1]:
        case "400":
            return Failure(400, reason("Inappropriate content"))
        case "500":
            # Recorded for Aleph (§6.3).
            return Failure(500, reason("please try again later"))
        case fragment:
            return Failure(400, reason(fragment))


def _image_failure(url: str | None, media: Media) -> Failure | None:
    if not url:
        return None
    located = media.locate(url)
    if located == "unreachable":
        return Failure(400, reason("image info failed"))
    if _type(located) not in (None, "image/png", "image/jpeg"):
        return Failure(400, reason("image format"))
    return None


def _video_failure(url: str, media: Media) -> Failure | None:
    located = media.locate(url)
    if located == "unreachable":
        return Failure(400, "Get video info failed, check that the video can be read.")
    if _type(located) not in (None, "video/mp4"):
        return Failure(400, "The video format is not supported, use MP4.")
    return None


def _type(located: Located) -> str | None:
    """The media type of what a URL leads to; None if it is elsewhere."""
    match located:
        case TaskPart(part=part):
            return "video/mp4" if part == "video" else "image/png"
        case Path():
            with located.open("rb") as file:
                return sniff(file.read(16)) or "unknown"
        case _:
            return None


def _parent_failure(task: Task, media: Media) -> Failure | None:
    parent = media.tasks.get(task.parent_task_id)
    if parent is None or parent.account != task.account or parent.kind == "aleph":
        return Failure(400, "The video to extend does not exist.")
    if media.find_part(parent.task_id, PART_FILES["video"]) is None:
        return Failure(400, "The video to extend is not finished, or has expired.")
    if parent.body["quality"] == "1080p":
        return Failure(400, "A video made at 1080p cannot be extended.")
    return None
