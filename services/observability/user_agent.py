"""The name of a browser from its `User-Agent`, with which people recognize their sessions. Used for display only."""

import re
from dataclasses import dataclass

_MAX_LENGTH = 1024
"""Characters that are searched. Browsers send about 150."""
_BROWSERS = (
    ("KakaoTalk", r"KAKAOTALK"),
    ("NAVER", r"NAVER\("),
    ("LINE", r"\bLine/"),
    ("Instagram", r"Instagram"),
    ("Facebook", r"\bFBA[NV]/|\bFB_IAB/"),
    ("Whale", r"Whale/"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Opera", r"\bOPR/|\bOPT/|Opera"),
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/"),
    ("Safari", r"Version/[\d.]+.* Safari/"),
)
"""The first match counts: Edge and others also call themselves Chrome and Safari."""
_SYSTEMS = (
    ("iPhone", r"iPhone|iPod"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"Windows"),
    ("macOS", r"Macintosh"),
    ("Linux", r"Linux|X11"),
)


@dataclass(frozen=True)
class Browser:
    name: str | None
    """None if it is unknown, such as a script."""
    system: str | None


def parse_user_agent(user_agent: str) -> Browser:
    text = user_agent[:_MAX_LENGTH]
    return Browser(
        *(next((name for name, pattern in table if re.search(pattern, text)), None) for table in (_BROWSERS, _SYSTEMS))
    )
