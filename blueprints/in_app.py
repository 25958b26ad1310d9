"""Browsers inside other apps: some providers refuse people there, and they should learn it before they try.

There is no standard to ask; each app writes its name into `User-Agent`.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Hurdle:
    app: str
    """What people call the app."""
    way_out: str | None
    """A link that opens the page in the phone's own browser, where the app has one."""


_APPS = (
    ("KakaoTalk", re.compile(r"KAKAOTALK"), "kakaotalk://web/openExternal?url={quoted}"),
    ("LINE", re.compile(r"\bLine/\d"), "{url}{joint}openExternalBrowser=1"),
    ("Instagram", re.compile(r"\bInstagram\b"), None),
    ("Facebook", re.compile(r"\bFBA[NV]/"), None),
    ("NAVER", re.compile(r"\bNAVER\(inapp"), None),
)


def hurdle(user_agent: str, url: str) -> Hurdle | None:
    """The app whose browser this is, with the way out of it to `url`; None for a browser of its own."""
    for app, pattern, link in _APPS:
        if pattern.search(user_agent):
            joint = "&" if "?" in url else "?"
            return Hurdle(app, link and link.format(url=url, quoted=quote(url, safe=""), joint=joint))
    return None
