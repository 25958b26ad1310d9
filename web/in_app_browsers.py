"""In-app browsers (web views of other apps), in which some providers refuse to sign people in.

The sign-in page shows a notice in these browsers, and leaves out the providers that do not work.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

import providers
from providers.base import InAppBrowser, localized

_OTHER_APPS = (
    InAppBrowser({"en": "Instagram", "ko": "인스타그램"}, r"\bInstagram\b"),
    InAppBrowser({"en": "Facebook", "ko": "페이스북"}, r"\bFBA[NV]/"),
)


@dataclass(frozen=True)
class InAppNotice:
    app: str
    """The name of the app in the language of the page."""
    external_url: str | None
    """A URL that opens the page in the system browser; None if the app has no such URL."""


def detect(user_agent: str) -> InAppBrowser | None:
    """The app whose in-app browser sent this `User-Agent`; None for any other browser."""
    if not _any_app().search(user_agent):
        return None
    return next(app for app in _apps() if re.search(app.pattern, user_agent))


def notice(app: InAppBrowser, url: str, language: str) -> InAppNotice:
    """The notice for this app in `language`, with the link that opens `url` in the system browser."""
    joint = "&" if "?" in url else "?"
    link = app.open_externally and app.open_externally.format(url=url, quoted=quote(url, safe=""), joint=joint)
    return InAppNotice(localized(app.name, language), link)


@lru_cache(1)
def _apps() -> tuple[InAppBrowser, ...]:
    provider_apps = (providers.find(name).in_app_browser for name in providers.names())
    return (*filter(None, provider_apps), *_OTHER_APPS)


@lru_cache(1)
def _any_app() -> re.Pattern[str]:
    return re.compile("|".join(app.pattern for app in _apps()))
