"""What the body of a request says: NextAuth takes forms and JSON alike (4.24.15, `next/index.ts`)."""

import json

from flask import g, request
from werkzeug.datastructures import MultiDict

from services.http import strict_json

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def value() -> object:
    """The value of a JSON body; raises `ValueError` if it is none."""
    if "body" not in g:
        g.body = None  # what the error page sees of a body that cannot be read
        found = strict_json.loads(request.get_data())
        try:
            # JSON can write half of a surrogate pair, and nothing can send it: refused here, not where it meets UTF-8.
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError:
            raise ValueError("JSON is nested too deeply") from None
        g.body = found
    return g.body


def fields() -> MultiDict[str, str]:
    """The fields of a form, or the texts in a JSON object. v4 takes no `true` for `"true"`, and neither do we."""
    if request.mimetype != JSON:
        return request.form
    sent = value()
    members = sent.items() if isinstance(sent, dict) else ()
    return MultiDict({name: text for name, text in members if isinstance(text, str)})
