"""Where a person goes afterwards: the one gate for `callbackUrl`.

A sign-in page that sends people where a link told it to is a gift to phishers: the link starts with a name
they trust. Browsers, Werkzeug and `urllib` read odd addresses differently, so nothing is parsed and judged
here: only what is plainly a path of this site passes, and what is sent out is always own origin + path.
"""

import re
from urllib.parse import quote

from flask import request

from services import services
from web import request_body

FIELD = "callbackUrl"
LONGEST = 2048

# Controls, spaces, no-break and line separators, surrogates; and backslash, which browsers read as a slash.
_UNFIT = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\\]")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?=[/?#]|$)", re.IGNORECASE)
_NO_RETURN = ("/auth/login/", "/auth/logout")
"""Pages of ours that would only send the person on again."""


def take() -> str:
    """The address to send this person to: what the form or the query asks for if it passes, else the home page."""
    return kept() or home()


def home() -> str:
    return f"{services().settings.site_url}/"


def kept() -> str | None:
    """The return address that this request carries, safe to send out and to write into a page; None without one."""
    # What comes in the body of a GET has no meaning (RFC 9110, 9.3.1).
    posted = None if request.method in ("GET", "HEAD") else request_body.fields().get(FIELD)
    asked = posted or request.args.get(FIELD)
    return passed(asked) if asked else None


def passed(asked: str) -> str | None:
    """This address, whole, if it is plainly one of this site; else None."""
    settings = services().settings
    if len(asked) > LONGEST or _UNFIT.search(asked):
        return None
    own = re.match(re.escape(settings.origin) + r"(?=[/?#]|$)", asked, re.IGNORECASE)
    rest = asked[own.end() :] if own else asked
    if own and not rest.startswith("/"):
        rest = f"/{rest}"
    if not rest.startswith("/") or rest.startswith("//") or _climbs_out(rest):
        return None
    if rest.startswith(tuple(settings.site_path + page for page in _NO_RETURN)):
        return None
    address = settings.origin + quote(rest, safe="/?#%:@!$&'()*+,;=-._~[]")
    return address if len(address) <= LONGEST else None


def _climbs_out(rest: str) -> bool:
    """Whether `/./` or `/x/..//host` leave two slashes in front once a browser has removed dot segments."""
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    if not _DOT_SEGMENT.search(path):
        return False
    kept: list[str] = []
    plain = ""
    for segment in path.split("/")[1:]:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    if plain in (".", ".."):
        kept.append("")  # as the last one, it leaves a slash behind
    return len(kept) > 1 and kept[0] == ""
