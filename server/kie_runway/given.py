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
        uploaded: By the arguments that are addresses of earlier uploads, digests of what was
            uploaded.
    """

    request: PaidRequest
    files: Mapping[str, LocalFile]
    uploaded: Mapping[str, str]

    @property
    def stands_for(self) -> Mapping[str, str]:
        """What each file means, whatever its address is: the same content is the same."""
        read = {argument: file.digest for argument, file in self.files.items()}
        return {argument: f"sha256:{it}" for argument, it in {**read, **self.uploaded}.items()}
