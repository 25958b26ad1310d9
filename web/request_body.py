"""Parses request bodies. NextAuth accepts forms and JSON alike (next-auth 4.24.15, `next/index.ts`)."""

import json

from flask import g, request
from werkzeug.datastructures import MultiDict

from services.http import strict_json

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def parse_json() -> object:
    """The value of a JSON body, parsed once per request. Raises `ValueError` if the body is not valid JSON."""
    if "body" not in g:
        g.body = None  # so that an error page can read the fields of a body that is not valid
        value = strict_json.loads(request.get_data())
        try:
            # JSON can contain lone surrogates, which cannot be encoded as UTF-8. Reject them here, not in a later call.
            json.dumps(value, ensure_ascii=False).encode()
        except RecursionError:
            raise ValueError("JSON is nested too deeply") from None
        g.body = value
    return g.body


def fields() -> MultiDict[str, str]:
    """The fields of a form, or the strings in a JSON object: as in NextAuth v4, `true` is not `"true"`."""
    if request.mimetype != JSON:
        return request.form
    body = parse_json()
    members = body.items() if isinstance(body, dict) else ()
    return MultiDict({name: value for name, value in members if isinstance(value, str)})
