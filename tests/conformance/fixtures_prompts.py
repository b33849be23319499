"""Prompts, and the completion of their arguments."""

from collections.abc import Callable
from typing import Annotated, Any

import mcp.types as t
from mcp.server.mcpserver import UserMessage
from pydantic import Field
from tests.conformance.fixtures_content import PNG
from tests.conformance.fixtures_inputs import input_required_result_prompt


def simple_prompt() -> str:
    """One line."""
    return "This is a simple prompt for testing."


def prompt_with_arguments(
    arg1: Annotated[str, Field(description="First test argument")],
    arg2: Annotated[str, Field(description="Second test argument")],
) -> str:
    """Repeats its arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def prompt_with_embedded_resource(
    resourceUri: Annotated[str, Field(description="URI of the resource to embed")],
) -> list[UserMessage]:
    """A resource and what to do with it."""
    resource = t.TextResourceContents(
        uri=resourceUri, mime_type="text/plain", text="Embedded resource content for testing."
    )
    return [
        UserMessage(t.EmbeddedResource(resource=resource)),
        UserMessage("Please process the embedded resource above."),
    ]


def prompt_with_image() -> list[UserMessage]:
    """A picture and what to do with it."""
    return [
        UserMessage(t.ImageContent(data=PNG, mime_type="image/png")),
        UserMessage("Please analyze the image above."),
    ]


PROMPTS: tuple[Callable[..., Any], ...] = (
    simple_prompt,
    prompt_with_arguments,
    prompt_with_embedded_resource,
    prompt_with_image,
    input_required_result_prompt,
)


async def complete(
    _: t.PromptReference | t.ResourceTemplateReference,
    argument: t.CompletionArgument,
    __: t.CompletionContext | None,
) -> t.Completion:
    """The known words that begin like the argument."""
    words = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
    return t.Completion(values=words, total=len(words), has_more=False)
