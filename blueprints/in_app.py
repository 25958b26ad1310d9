"""Browsers inside other apps: some providers refuse people there, and they should learn it before they try."""

import re
from dataclasses import dataclass
from urllib.parse import quote

import providers
from providers.base import App, at_language

_OTHERS = (
    App({"en": "Instagram", "ko": "인스타그램"}, r"\bInstagram\b"),
    App({"en": "Facebook", "ko": "페이스북"}, r"\bFBA[NV]/"),
)


@dataclass(frozen=True)
class Hurdle:
    app: str
    way_out: str | None
    """A link out of the app to the page, where the app has one."""


def hurdle(user_agent: str, url: str, language: str) -> Hurdle | None:
    """The app whose browser this is, named in this language, with the way out of it to `url`; None for none."""
    own = (providers.find(name).app for name in providers.names())
    for app in (*filter(None, own), *_OTHERS):
        if re.search(app.pattern, user_agent):
            joint = "&" if "?" in url else "?"
            link = app.way_out and app.way_out.format(url=url, quoted=quote(url, safe=""), joint=joint)
            return Hurdle(at_language(app.name, language), link)
    return None
