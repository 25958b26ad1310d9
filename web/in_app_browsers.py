"""Browsers inside other apps: some providers refuse people there, and they should learn it before they try."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

import providers
from providers.base import InAppBrowser, localized

_OTHERS = (
    InAppBrowser({"en": "Instagram", "ko": "인스타그램"}, r"\bInstagram\b"),
    InAppBrowser({"en": "Facebook", "ko": "페이스북"}, r"\bFBA[NV]/"),
)


@dataclass(frozen=True)
class InAppNotice:
    app: str
    way_out: str | None
    """A link out of the app to the page, where the app has one."""


def inside(user_agent: str) -> InAppBrowser | None:
    """The app whose browser this is; None for a browser of its own."""
    if not _any_app().search(user_agent):
        return None
    return next(app for app in _apps() if re.search(app.pattern, user_agent))


def hurdle(app: InAppBrowser, url: str, language: str) -> InAppNotice:
    """This app, named in this language, with the way out of it to `url`."""
    joint = "&" if "?" in url else "?"
    link = app.open_externally and app.open_externally.format(url=url, quoted=quote(url, safe=""), joint=joint)
    return InAppNotice(localized(app.name, language), link)


@lru_cache(1)
def _apps() -> tuple[InAppBrowser, ...]:
    own = (providers.find(name).in_app_browser for name in providers.names())
    return (*filter(None, own), *_OTHERS)


@lru_cache(1)
def _any_app() -> re.Pattern[str]:
    return re.compile("|".join(app.pattern for app in _apps()))
