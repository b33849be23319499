"""JSON with comments as people and programs write it: any layout, any comments."""

import json
from functools import partial
from itertools import cycle
from typing import Any

from hypothesis import strategies as st

from kie_runway.setup.jsonc import as_array, as_object

KEYS = st.sampled_from(["a", "b", "servers", "mcpServers", "inputs", "kie", "", "é\n"])
YES_OR_NO: st.SearchStrategy[bool] = st.booleans()
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["// no comment", "/* nor this */", "}", '"', "\\"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def written(draw: st.DrawFn, value: object, newline: str, level: int = 0) -> str:
    """A value as text, with white space and comments wherever they may stand."""
    gaps: list[str] = draw(
        st.lists(
            st.sampled_from(
                [
                    *("", " ", "  ", "\t", newline, newline * 2, f"{newline}  ", f"{newline}\t"),
                    *("/* c */", f"/*{newline}c */ ", f"// c {newline}", f" // {{{newline}    "),
                    *(f'{newline}  // "x",{newline}  ', f"{newline}{'  ' * (level + 1)}"),
                ]
            ),
            min_size=1,
            max_size=5,
        )
    )
    gap = partial(next, cycle(gaps))

    is_object, is_array = isinstance(value, dict), isinstance(value, list)
    if not is_object and not is_array:
        return json.dumps(value, ensure_ascii=draw(YES_OR_NO))
    elements = as_object(value).items() if is_object else enumerate(as_array(value))
    parts = [
        (f"{json.dumps(key)}{gap()}:{gap()}" if is_object else "")
        + draw(written(inner, newline, level + 1))
        for key, inner in elements
    ]
    text = ",".join(f"{gap()}{part}{gap()}" for part in parts)
    has_trailing_comma = draw(YES_OR_NO)
    if parts and has_trailing_comma:
        text += f",{gap()}"
    if not parts:
        text = gap()
    return f"{{{text}}}" if is_object else f"[{text}]"


@st.composite
def documents(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> str:
    """A whole text."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    value = draw(values)
    before = draw(st.sampled_from(["", "\ufeff", newline, f"// {{{newline}", "/**/ "]))
    after = draw(st.sampled_from(["", newline, " ", f" // }}{newline}", "// end"]))
    return before + draw(written(value, newline)) + after
