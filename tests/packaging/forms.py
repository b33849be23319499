"""Settings as fields of other programs' forms."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

FORMATS = {"int": "number", "float": "number", "bool": "boolean", "Path": "filepath"}


def variable(name: str, field: FieldInfo) -> dict[str, Any]:
    """A setting, for a client's form; what is usual is left out."""
    kind = without_none(field.annotation)
    described: dict[str, Any] = {"name": f"KIE_{name.upper()}", "description": field.description}
    if kind is SecretStr:
        described["isSecret"] = True
    if name == "api_key":
        described["isRequired"] = True
    if form := FORMATS.get(getattr(kind, "__name__", "")):
        described["format"] = form
    if get_origin(kind) is Literal:
        described["choices"] = list(get_args(kind))
    if field.default not in (None, ()):
        described["default"] = str(field.default)
    return described


def without_none(annotation: Any) -> Any:
    """The type of a value that is there."""
    if get_origin(annotation) is Annotated:
        return without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        (kind,) = (one for one in get_args(annotation) if one is not type(None))
        return without_none(kind)
    return annotation
