"""In-app browsers (web views of other apps), in which some providers refuse to sign people in.

The sign-in page shows a notice in these browsers, and leaves out the providers that do not work.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from flask_babel import gettext as _

import providers
from providers.base import InAppBrowser, localized

_OTHER_APPS = (
    InAppBrowser({"en": "Instagram", "ko": "인스타그램"}, r"\bInstagram\b"),
    InAppBrowser({"en": "Threads", "ko": "스레드"}, r"\bBarcelona \d"),
    InAppBrowser({"en": "Messenger", "ko": "메신저"}, r"\bFBAN/Messenger|\bFB_IAB/(?:Orca|MESSENGER)"),
    InAppBrowser(
        {"en": "TikTok", "ko": "틱톡"}, r"\bmusical_ly\b|musical_ly_|\btrill_|\bTikTok\b|\bBytedanceWebview\b"
    ),
    InAppBrowser({"en": "X"}, r"\bTwitter for iP|\bTwitterAndroid\b"),
    InAppBrowser({"en": "Snapchat", "ko": "스냅챗"}, r"\bSnapchat[/ ]\d"),
    InAppBrowser({"en": "LinkedIn", "ko": "링크드인"}, r"\bLinkedInApp\b"),
    InAppBrowser({"en": "Pinterest", "ko": "핀터레스트"}, r"\[Pinterest/|\bPinterest for "),
    InAppBrowser({"en": "WeChat", "ko": "위챗", "zh_Hans": "微信"}, r"\bMicroMessenger/"),
    InAppBrowser({"en": "Daum", "ko": "다음"}, r"\bDaumApps?/"),
    InAppBrowser({"en": "BAND", "ko": "밴드"}, r"\bBAND/\d"),
)
_WEB_VIEWS = (
    # Android WebView (https://developer.chrome.com/docs/webview/user-agent).
    InAppBrowser({}, r"\bAndroid\b.*; wv\)"),  # names of devices have brackets too
    # WKWebView of iOS, iPadOS and macOS: browsers, also those of other makers, add `Safari/`.
    InAppBrowser({}, r"\A(?=.*\b(?:iPhone|iPad|iPod|Macintosh)\b)(?=.*\bAppleWebKit/)(?!.*\bSafari/)"),
)
"""Other apps, recognized by the web view of the operating system. They come last and have no name."""
_MAX_LENGTH = 1024
"""Characters of `User-Agent` that are searched."""


@dataclass(frozen=True)
class InAppNotice:
    app: str
    """The name of the app in the language of the page."""
    external_url: str | None
    """A URL that opens the page in the system browser; None if the app has no such URL."""


def detect(user_agent: str) -> InAppBrowser | None:
    """The app whose in-app browser sent this `User-Agent`; None for any other browser."""
    return _detect(user_agent[:_MAX_LENGTH])


@lru_cache(1000)  # most visitors have one of a few hundred; the search takes a twentieth of the sign-in page's time
def _detect(user_agent: str) -> InAppBrowser | None:
    if not _any_app().search(user_agent):
        return None
    return next(app for app in _apps() if re.search(app.pattern, user_agent))


def notice(app: InAppBrowser, url: str, language: str) -> InAppNotice:
    """The notice for this app in `language`, with the link that opens `url` in the system browser."""
    joint = "&" if "?" in url else "?"
    link = app.open_externally and app.open_externally.format(url=url, quoted=quote(url, safe=""), joint=joint)
    return InAppNotice(localized(app.name, language) if app.name else _("this app"), link)


@lru_cache(1)
def _apps() -> tuple[InAppBrowser, ...]:
    provider_apps = (providers.find(name).in_app_browser for name in providers.names())
    return (*_OTHER_APPS, *filter(None, provider_apps), *_WEB_VIEWS)


@lru_cache(1)
def _any_app() -> re.Pattern[str]:
    return re.compile("|".join(app.pattern for app in _apps()))
