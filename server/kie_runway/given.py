"""A paid request as it was given, with the local files that it names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kie_runway.models import PaidRequest


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A picture or video of this machine, whole."""

    data: bytes = field(repr=False)
    mime_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Given:
    """
    A request as it was given, with the content of its local files.

    Attributes:
        files: By the arguments that name them.
    """

    request: PaidRequest
    files: Mapping[str, LocalFile]

    @property
    def stands_for(self) -> Mapping[str, str]:
        """What each file means, whatever its address will be: the same content is the same."""
        return {argument: f"sha256:{file.digest}" for argument, file in self.files.items()}
