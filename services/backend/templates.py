"""Builds a request from the templates of a call. `backends/base.py` describes them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from backends.base import placeholders

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_HEADER_VALUE = re.compile(r"[ -~]*")
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
"""RFC 6265, 4.1.1: without white space, quotes, commas, semicolons and backslashes."""

Values = Mapping[str, Any]
"""Placeholder -> value. A name that is missing has no value; None is JSON's null."""


def fill_path(template: str, values: Values) -> str:
    """Fill the values into a path. Raises `ValueError` if one is missing."""
    names = placeholders(template)
    if not names:
        return template
    if missing := names - set(values):
        raise ValueError(f"{{{min(missing)}}} has no value")
    return _PLACEHOLDER.sub(lambda match: quote(str(values[match[1]]), safe=""), template)


def fill_body(template: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """Fill the values into a body. They are encoded as members of JSON or form data, never joined as text."""
    return {key: _fill(value, values) for key, value in template.items() if _has_values(value, values)}


def with_members(body: Mapping[str, Any], members: Mapping[str, object]) -> dict[str, Any]:
    """The body with further members. A dot in a name makes an object. Existing members are not replaced."""
    result = dict(body)
    for name, value in members.items():
        *parents, key = name.split(".")
        target = result
        for parent in parents:
            inner = target.get(parent, {})
            target[parent] = dict(inner) if isinstance(inner, Mapping) else {}
            target = target[parent]
        target.setdefault(key, value)
    return result


def _fill(template: object, values: Values) -> object:
    if isinstance(template, Mapping):
        return fill_body(template, values)
    if isinstance(template, list):
        return [_fill(item, values) for item in template if _has_values(item, values)]
    if not isinstance(template, str):
        return template
    if match := _PLACEHOLDER.fullmatch(template):
        return values[match[1]]
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


def _has_values(template: object, values: Values) -> bool:
    return not isinstance(template, str) or all(name in values for name in placeholders(template))


def fill_headers(templates: Mapping[str, str], values: Values) -> dict[str, str]:
    """Fill the values into headers. Raises `ValueError` for a value that a header or a cookie cannot have."""
    return {
        name: _fill_header(name, template, values)
        for name, template in templates.items()
        if _has_values(template, values)
    }


def _fill_header(name: str, template: str, values: Values) -> str:
    names = placeholders(template)
    if not names:
        return template
    allowed = _COOKIE_VALUE if name.lower() == "cookie" else _HEADER_VALUE
    for placeholder in names:
        if not allowed.fullmatch(str(values[placeholder])):
            raise ValueError(f"the value of {{{placeholder}}} cannot be sent in {name}")
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)
