"""JSON from other machines: backend answers, session tokens, request bodies.

`json.loads` alone accepts NaN and objects that have a key twice, and raises `RecursionError` for a thousand brackets.
"""

import json
from typing import NoReturn


def loads(raw: bytes) -> object:
    """Parse UTF-8 JSON (RFC 8259); raises `ValueError` if it is not valid."""
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def loads_message(raw: bytes) -> object:
    """Parse the JSON body of a request or response, as `loads` does, but skip a byte order mark before it.

    RFC 8259, 8.1 allows that, and some backends on .NET and PHP send one. In a token, a mark is an error.
    """
    return loads(raw.removeprefix(b"\xef\xbb\xbf"))


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(members)
    if len(result) < len(members):
        raise ValueError("JSON has a key twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object)
