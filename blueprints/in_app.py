"""Browsers inside other apps: some providers refuse people there, and they should learn it before they try."""

import re
from dataclasses import dataclass
from urllib.parse import quote

import providers
from providers.base import App

_OTHERS = (App("Instagram", r"\bInstagram\b"), App("Facebook", r"\bFBA[NV]/"))


@dataclass(frozen=True)
class Hurdle:
    app: str
    way_out: str | None
    """A link out of the app to the page, where the app has one."""


def hurdle(user_agent: str, url: str) -> Hurdle | None:
    """The app whose browser this is, with the way out of it to `url`; None for a browser of its own."""
    own = (providers.find(name).app for name in providers.names())
    for app in (*filter(None, own), *_OTHERS):
        if re.search(app.pattern, user_agent):
            joint = "&" if "?" in url else "?"
            link = app.way_out and app.way_out.format(url=url, quoted=quote(url, safe=""), joint=joint)
            return Hurdle(app.name, link)
    return None
