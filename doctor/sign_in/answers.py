"""What an answer of a backend consists of: its places, their names and types, and what distinguishes two answers."""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from services.backend.answer import Answer
from services.bearer_token import validate_token

_MAX_LINES = 60
"""Of an answer's keys: more would hide the rest of the report."""
_MAX_DEPTH = 8
"""Levels of JSON that are looked at: no login hides its token deeper."""
_MAX_ITEMS = 3
"""Items of a list that are looked at: users and tokens are among the first."""
_KEY = re.compile(r"[^\s.|+:;={}]+")
"""A key that a setting can name."""
_PRINTABLE_KEY = re.compile(r"(?!.*[0-9]{4})[A-Za-z_$][\w$-]{0,31}", re.ASCII)
"""Other keys may be values: some backends use ids, addresses or tokens as keys."""
_JWT = re.compile(r"eyJ[\w-]*(\.[\w-]*){2,4}", re.ASCII)
_COMMON_HEADERS = re.compile(
    r"(accept|access-control|age|allow|alt-svc|cache|cf-|connection|content|cross-origin|date|etag|expect|expires|keep"
    r"|last-modified|link|location|nel|origin|permissions|pragma|ratelimit|referrer|report|retry|server|set-cookie"
    r"|strict|timing|trailer|transfer|upgrade|vary|via|warning|www-|x-(amz|cache|content|dns|download|frame|permitted"
    r"|powered|ratelimit|request|response-time|robots|runtime|trace|xss|correlation|envoy|kong|process|vercel|served))",
    re.IGNORECASE,
)
"""Headers that have nothing to do with a sign-in."""
_CODE_NAMES = (
    "code", "errorcode", "resultcode", "statuscode", "status", "error", "result", "success", "ok", "returncode", "rc",
)  # fmt: skip
_CODE = re.compile(r"[\w\-]{1,40}", re.ASCII)
_TEXT_NAMES = ("message", "msg", "detail", "error", "errordescription", "errormessage", "title")
_FIELD_LISTS = ("errors", "error", "detail", "details", "fielderrors", "violations", "validationerrors", "issues")
_FIELD_NAMES = ("loc", "field", "param", "path", "property", "propertypath", "pointer")

_NO_FIELDS = {"nonfielderrors", "all", *_TEXT_NAMES, *_CODE_NAMES, *_FIELD_NAMES, "name", "type", "input", "url"}
_FIELD_IN_TEXT = re.compile(
    r"""["'`]?\b([A-Za-z_]*(?:email|username|user_?id|login_?id|member_?id|identifier|account|phone|password|passwd|pwd)
    \w*)\b["'`]?(?=[^.]*\b(?:must|should|required|missing|empty|blank|null|필수|필요)\b)""",
    re.VERBOSE | re.IGNORECASE,
)


class Value(NamedTuple):
    place: str
    value: object

    @property
    def names(self) -> tuple[str, ...]:
        """The keys on the way to the value, without case and separators."""
        path = self.place.partition(":")[2] if self.is_header_or_cookie else self.place
        return tuple(plain(key) for key in path.split("."))

    @property
    def name(self) -> str:
        return next((name for name in reversed(self.names) if not name.isdigit()), "")

    @property
    def is_header_or_cookie(self) -> bool:
        """Whether it is a header or a cookie."""
        return self.place.startswith(("header:", "cookie:"))


def plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def is_jwt(value: object) -> bool:
    return isinstance(value, str) and _JWT.fullmatch(value) is not None


def is_token(value: object) -> bool:
    try:
        return len(validate_token(value)) >= 8
    except ValueError:
        return False


def values_of(answer: Answer) -> list[Value]:
    """The values that a setting can name: those of the JSON, then headers, then cookies. Not those below a key that may
    be a value itself."""
    return [value for value in _all_values(answer) if printable(value.place) == value.place]


def _all_values(answer: Answer) -> list[Value]:
    body = answer.get("body")
    if isinstance(body, dict | list):
        values = list(leaves(body))
    else:
        values = [] if answer.response.is_html else [Value("body", body)]
    names = [f"header:{name}" for name in answer.response.headers if not _COMMON_HEADERS.match(name)]
    names += [f"cookie:{line.partition('=')[0].strip()}" for line in answer.response.set_cookies]
    return values + [Value(name, answer.get(name)) for name in names]


def leaves(value: object, path: str = "", depth: int = 0) -> Iterator[Value]:
    """The texts, numbers, booleans and nulls of JSON."""
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        for key, item in value.items():
            if _KEY.fullmatch(key):
                yield from leaves(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list) and depth < _MAX_DEPTH:
        for index, item in enumerate(value[:_MAX_ITEMS]):
            yield from leaves(item, f"{path}.{index}" if path else str(index), depth + 1)
    elif not isinstance(value, dict | list):
        yield Value(path, value)


def objects(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects of JSON, each with its path."""
    items: list[tuple[str, object]] = []
    if isinstance(value, dict):
        yield path, value
        items = [(key, item) for key, item in value.items() if _KEY.fullmatch(key)]
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value[:_MAX_ITEMS])]
    for key, item in items if depth < _MAX_DEPTH else ():
        yield from objects(item, f"{path}.{key}" if path else key, depth + 1)


def describe_types(answer: Answer, secrets: Collection[str]) -> Iterator[str]:
    """Places and types, without values: `data.token: text, 40 characters`. Keys with one of `secrets` are left out."""
    values = [value for value in _all_values(answer) if value.place != "body" or value.value]
    for value in values[:_MAX_LINES]:
        yield f"{printable(value.place, secrets)}: {_type(value.value)}"
    if len(values) > _MAX_LINES:
        yield f"and {len(values) - _MAX_LINES} more"


def printable(place: str, secrets: Collection[str] = ()) -> str:
    """A place with `<key>` for each key that may be a value."""
    kind, separator, rest = place.rpartition(":")
    keys = [key if _is_printable(key, secrets) else "<key>" for key in rest.split(".")]
    return kind + separator + ".".join(keys)


def _is_printable(key: str, secrets: Collection[str]) -> bool:
    is_index = key.isdigit() and len(key) < 4
    return (is_index or _PRINTABLE_KEY.fullmatch(key) is not None) and not any(secret in key for secret in secrets)


def _type(value: object) -> str:
    if isinstance(value, str):
        return f"text, {len(value)} characters{' (a JWT)' if is_jwt(value) else ''}"
    if value is None:
        return "null"
    return "true or false" if isinstance(value, bool) else "number"


def codes(answer: Answer) -> dict[str, str]:
    """Place -> value of the codes of a refusal, such as `code` or `error.code`. A sentence is no code."""
    result = {}
    for item in values_of(answer):
        if item.is_header_or_cookie or item.name not in _CODE_NAMES or isinstance(item.value, float):
            continue
        text = str(item.value).lower() if isinstance(item.value, bool) else str(item.value)
        if isinstance(item.value, bool | int | str) and _CODE.fullmatch(text) and not is_jwt(item.value):
            result[item.place] = text
    return result


def signature(answer: Answer) -> object:
    """Equal for two answers that say the same, although they have other times, paths or ids in them."""
    values = [value for value in values_of(answer) if not value.is_header_or_cookie]
    texts = {
        value.place: re.sub(r"\S*[/@0-9]\S*", "", value.value)
        for value in values
        if isinstance(value.value, str) and (value.name in _TEXT_NAMES or value.place == "body")
    }
    places = frozenset(value.place for value in values)
    return answer.status, answer.response.is_html, places, frozenset(texts.items()), frozenset(codes(answer).items())


def fields_named(answer: Answer) -> list[str]:
    """The fields of the request that a refusal names, in the notations of common frameworks; dots for nested ones."""
    names = [name for path, item in objects(answer.get("body")) for name in (*_keys(path, item), *_named(path, item))]
    for value in values_of(answer):
        if isinstance(value.value, str) and value.names[0] in ("message", "error", "errors", "detail"):
            matches = _FIELD_IN_TEXT.finditer(value.value[:500])
            names += [match[1].lower() if match[1].istitle() else match[1] for match in matches]
    return list(dict.fromkeys(names))


def _keys(path: str, item: dict[str, object]) -> Iterator[str]:
    """`{"errors": {"email": "…"}}`, or `{"email": ["…"]}` at the top."""
    is_list_of_errors = plain(path.rpartition(".")[2]) in _FIELD_LISTS
    for key, value in item.items():
        is_texts = isinstance(value, list) and bool(value) and isinstance(value[0], str)
        if ((is_list_of_errors and isinstance(value, str)) or (is_texts and (is_list_of_errors or not path))) and (
            _is_field(key)
        ):
            yield key


def _named(path: str, item: dict[str, object]) -> Iterator[str]:
    """`[{"field": "email"}]`, `[{"loc": ["body", "email"]}]`, `[{"pointer": "/email"}]`."""
    for key, value in item.items() if path else ():
        if plain(key) not in _FIELD_NAMES:
            continue
        parts = value if isinstance(value, list) else [value]
        name = ".".join(str(part) for part in parts if part not in ("body", "query")).lstrip("/").replace("/", ".")
        if _is_field(name):
            yield name


def _is_field(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][\w.\-\[\]/]{0,60}", name) is not None and plain(name) not in _NO_FIELDS
