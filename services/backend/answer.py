"""The answer of a backend: the values at the places that `backends/base.py` describes."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from providers.base import full_name
from services.backend.tokens import jwt_claims
from services.http.response import UpstreamResponse

MISSING: Final = object()
"""The result of `find` for a place that the answer does not have. None is JSON's null."""
_BEARER = re.compile(r"bearer +", re.IGNORECASE)
_DELETED = re.compile(r";\s*max-age\s*=\s*(0|-)", re.IGNORECASE)
_FAMILY_NAME = re.compile(r"(.*\.)?(last|family|surname)[^.]*", re.IGNORECASE)
"""Paths whose last key is `lastName`, `family_name` and the like."""
_INDEX = re.compile(r"[0-9]{1,4}", re.ASCII)


class Answer:
    def __init__(self, response: UpstreamResponse) -> None:
        self.response = response
        self.status = response.status

    def get(self, place: str) -> object:
        """The value at this place, or None."""
        value = self.find(place)
        return None if value is MISSING else value

    def get_objects(self, place: str) -> list[dict[str, object]]:
        """The objects in the list at this place; empty without a list."""
        value = self.get(place)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def get_jwt_claims(self, place: str) -> Mapping[str, object]:
        """The claims of the JWT at this place, which are not verified; empty without a JWT."""
        return jwt_claims(str(self.get(place))) or {}

    def find(self, place: str) -> object:
        """The first value of the alternatives that is neither null nor an empty text, else the first that exists."""
        values = [value for part in place.split("|") if (value := self._find(part)) is not MISSING]
        return next((value for value in values if value not in (None, "")), values[0] if values else MISSING)

    def _find(self, place: str) -> object:
        kind, _, name = place.partition(":")
        match kind:
            case "header":
                text = self.response.headers.get(name, "")
                return _BEARER.sub("", text, count=1) or MISSING
            case "cookie":
                return self._cookies.get(name) or MISSING
            case "body":
                return self._body
            case _:
                return find(self.response.json(), place)

    @cached_property
    def _cookies(self) -> Mapping[str, str]:
        """The cookies that the answer sets. They are not stored: the caller reads one by its name.

        Their values are not decoded, because a browser returns them unchanged, and some backends read `+` as a space.
        Cookies that the answer deletes are left out: a cookie of the same name with another path may be set.
        """
        lines = (line for line in self.response.set_cookies if not _DELETED.search(line))
        pairs = (line.partition(";")[0].partition("=") for line in lines)
        return {name.strip(): text for name, _, value in pairs if (text := value.strip().strip('"'))}

    @cached_property
    def _body(self) -> object:
        if self.response.is_json:
            return self.response.json()
        try:
            return self.response.body.decode().strip()
        except UnicodeDecodeError:
            return MISSING


def find(value: object, path: str) -> object:
    """The value at these keys and list indexes of JSON; `MISSING` if one of them is not there."""
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def find_joined(value: object, places: str) -> object:
    """The same with alternatives (`a|b`), each of which may join texts (`a+b`); None if there is no value.

    Texts are joined as `full_name` documents.
    """
    return next(filter(_has_value, (_joined(value, alternative) for alternative in places.split("|"))), None)


def _joined(value: object, places: str) -> object:
    if "+" not in places:
        return find(value, places)
    parts = {path: part for path in places.split("+") if isinstance(part := find(value, path), str)}
    return full_name(parts, next(filter(_FAMILY_NAME.fullmatch, parts), None))


def _has_value(value: object) -> bool:
    return value is not MISSING and value is not None and value != ""
