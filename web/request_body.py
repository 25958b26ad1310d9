"""Parses request bodies. NextAuth accepts forms and JSON alike (next-auth 4.24.15, `next/index.ts`)."""

import json

from flask import abort, g, request
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from services.http import strict_json

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
_METHODS_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS", "TRACE")
_NO_FIELDS: MultiDict[str, str] = ImmutableMultiDict()
_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True, "on": True}


def parse_json() -> object:
    """The value of a JSON body, parsed once per request. Raises `ValueError` if the body is not valid JSON."""
    if "body" not in g:
        g.body = None  # so that an error page can read the fields of a body that is not valid
        value = strict_json.loads_message(request.get_data())
        try:
            # JSON can contain lone surrogates, which cannot be encoded as UTF-8. Reject them here, not in a later call.
            json.dumps(value, ensure_ascii=False).encode()
        except RecursionError:
            raise ValueError("JSON is nested too deeply") from None
        g.body = value
    return g.body


def fields() -> MultiDict[str, str]:
    """The fields of a form, or the strings in a JSON object: as in NextAuth v4, `true` is not `"true"`.

    Empty for GET and HEAD: the body of such a request has no meaning (RFC 9110, section 9.3.1). `csrf.protect` has
    rejected a body that cannot be parsed.
    """
    if request.method in _METHODS_WITHOUT_BODY:
        return _NO_FIELDS
    if request.mimetype != JSON:
        return request.form
    body = parse_json()
    members = body.items() if isinstance(body, dict) else ()
    return MultiDict({name: value for name, value in members if isinstance(value, str)})


def json_requested() -> bool:
    """Whether NextAuth's client has sent the form: it sends `json=true`, and follows the `url` of a JSON response."""
    return fields().get("json") == "true"


def flag(name: str) -> bool:
    """The boolean value of a checkbox, or of `true` or `1` in JSON. False if it is missing.

    Aborts with 422 for any other value, and for a form that has both values, so that no request is read as its
    opposite.
    """
    body = parse_json() if request.mimetype == JSON else None
    values: list[object] = [body.get(name)] if isinstance(body, dict) else list(fields().getlist(name))
    meanings = {_FLAGS.get(_flag_text(value)) for value in values} or {False}
    meaning = meanings.pop()
    return abort(422) if meaning is None or meanings else meaning


def _flag_text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, str | bool | int) else "invalid"
