"""JSON from strangers: backend answers, session tokens, request bodies.

`json.loads` alone takes a BOM, NaN, ten thousand brackets (a RecursionError) and numbers of any length.
"""

import json
import re
from typing import NoReturn

MOST_LEVELS = 32
# The last quote may be missing: or a string without end would be looked for from each quote in it, for hours.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|([\[{])|([\]}])', re.DOTALL)


def loads(raw: bytes) -> object:
    """The value of this UTF-8 JSON text; raises `ValueError` whatever is wrong with it."""
    text = raw.decode("utf-8")
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(text) > MOST_LEVELS:
        raise ValueError(f"JSON is nested deeper than {MOST_LEVELS} levels")
    return _DECODER.decode(text)


def _levels(text: str) -> int:
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += (match[1] is not None) - (match[2] is not None)
        deepest = max(deepest, depth)
    return deepest


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("JSON has a key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object)
