"""The KIE_* environment variables, read once into one frozen model."""

import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

KIE_API_URL = "https://api.kie.ai"
KIE_UPLOAD_URL = "https://kieai.redpandaai.co"
MAX_WAIT_S = 45  # several clients give up at 60 s, whatever progress they get
# What a bundle's form passes for a field that was left out: nothing, or its own placeholder.
_LEFT_OUT = re.compile(r"\s*(\$\{user_config\.[^{}]*\})?\s*")
# What configurations name in place of a secret. For anything else it is a mistake, to be told.
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
_HOME = "${HOME}"  # in defaults of bundles, some clients leave it to the server


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


def _without_slash(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else value


def _stripped(value: object) -> object:
    """People paste spaces."""
    return value.strip() if isinstance(value, str) else value


def _secret(value: object) -> object:
    """A client that cannot resolve the name of a secret passes the name on."""
    text = _stripped(value)
    return None if isinstance(text, str) and _PLACEHOLDER.fullmatch(text) else text


def _reachable(url: str) -> str:
    """Refuse an address whose port cannot be one (`ValueError`)."""
    _ = urlsplit(url).port
    return url


def _expanded(path: Path) -> Path:
    if path.parts[:1] == (_HOME,):
        path = Path("~", *path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ValueError("names a user without a home directory") from exc


def _tellable(path: Path) -> Path:
    """Refuse a path that no answer could name (`PydanticCustomError`)."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("not_utf8", "its full path is not valid UTF-8") from None
    return path


BaseUrl = Annotated[
    str,
    BeforeValidator(_without_slash),
    Field(pattern=r"^https?://[^/?#][^?#]*$"),
    AfterValidator(_reachable),
]
Credits = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Directory = Annotated[Path, AfterValidator(_expanded), AfterValidator(_tellable)]
Stripped = BeforeValidator(_stripped)
Secret = Annotated[SecretStr | None, BeforeValidator(_secret)]


class Settings(BaseSettings):
    """What a user can set, with its defaults. Wrong values raise a `ValidationError` at start."""

    model_config = SettingsConfigDict(env_prefix="KIE_", frozen=True, extra="ignore")

    api_key: Annotated[
        Secret,
        Field(description="The KIE.AI key; without it tools are listed, but ask for one"),
    ] = None
    api_url: Annotated[BaseUrl, Field(description="KIE's API")] = KIE_API_URL
    upload_url: Annotated[BaseUrl, Field(description="KIE's file upload host")] = KIE_UPLOAD_URL
    home: Annotated[
        Directory | None,
        Stripped,
        Field(
            description="Data directory: ledger and saved videos; unset, the user's data directory"
        ),
    ] = None
    database_url: Annotated[
        Annotated[str, Field(pattern=r"^sqlite:///.+")] | None,
        Stripped,
        Field(description="The ledger; unset, `sqlite:///<KIE_HOME>/ledger.db`"),
    ] = None
    output_dir: Annotated[
        Directory | None,
        Stripped,
        Field(description="Where videos are saved; unset, `<KIE_HOME>/videos`"),
    ] = None
    upload_roots: Annotated[
        tuple[Directory, ...],
        NoDecode,
        _split(os.pathsep),
        Field(
            description="Directories whose pictures and videos may be uploaded, separated by `:` "
            "(Windows: `;`); unset, those that the client offers, on stdio only"
        ),
    ] = ()
    callback_url: Annotated[
        BaseUrl | None,
        Stripped,
        Field(
            description="Public base URL of this server; set, KIE is asked to call back; unset, "
            "tasks are only polled"
        ),
    ] = None
    webhook_hmac_key: Annotated[
        Secret,
        Field(
            description="The key that KIE signs callbacks with (kie.ai/settings); while it is "
            "being changed both, comma-separated"
        ),
    ] = None
    autosave: Annotated[
        bool | None,
        Stripped,
        Field(
            description="Save every finished video before it expires; unset, on for stdio, off "
            "for HTTP"
        ),
    ] = None
    daily_credits: Annotated[
        Credits | None,
        Stripped,
        Field(
            description="Refuse what would exceed this many credits in any 24 hours; unset, no cap"
        ),
    ] = None
    confirm_credits: Annotated[
        Credits | None,
        Stripped,
        Field(
            description="Ask the user before a video that costs at least this many credits, where "
            "the client can ask; unset, nobody is asked"
        ),
    ] = None
    max_wait_s: Annotated[
        int, Field(ge=0, le=600, description="Longest wait in one call, in seconds")
    ] = MAX_WAIT_S
    trusted_hosts: Annotated[
        tuple[str, ...],
        NoDecode,
        _split(","),
        Field(description="Hosts (`host` or `host:port`) exempt from the private-address guard"),
    ] = ()
    user_agent: Annotated[
        str,
        Field(
            pattern=r"^[!-~]([ -~]*[!-~])?$",
            description="Sent to KIE; its CDN blocks clients that send none",
        ),
    ] = f"kie-runway-mcp/{version('kie-runway-mcp')}"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
        Field(description="Least level written to stderr"),
    ] = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _without_what_was_left_out(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and _LEFT_OUT.fullmatch(value))
        }

    @property
    def home_dir(self) -> Path:
        """The data directory, made absolute; nothing is created."""
        if self.home is not None:
            return self.home.absolute()
        from platformdirs import user_data_path  # not needed where KIE_HOME is set

        return user_data_path("kie-runway-mcp", appauthor=False)

    @property
    def webhook_keys(self) -> tuple[SecretStr, ...]:
        """The keys that may have signed a callback; empty: callbacks come unsigned."""
        if self.webhook_hmac_key is None:
            return ()
        keys = (key.strip() for key in self.webhook_hmac_key.get_secret_value().split(","))
        return tuple(SecretStr(key) for key in keys if key)

    @property
    def videos_dir(self) -> Path:
        """Where videos are saved, absolute."""
        if self.output_dir is not None:
            return self.output_dir.absolute()
        return self.home_dir / "videos"

    @property
    def ledger_path(self) -> Path:
        """The ledger's SQLite file, absolute."""
        if self.database_url is None:
            return self.home_dir / "ledger.db"
        path = self.database_url.removeprefix("sqlite:///")
        return Path(os.path.expanduser(path)).absolute()
