"""The sign-ins that wait at the stand-in backend for a code, and the page to which it sends people."""

import secrets
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Response, request
from markupsafe import escape

CODE, RECOVERY_CODE, EXPIRED_CODE = "123456", "kept-safe-77", "111111"
"""The codes of every account: the right one, a recovery code, and one that is no longer valid."""
PAGE_PATH = "/identity-check"
_PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>Identity check</title>
<h1>Identity check</h1><p>A stand-in for a page of your backend, where people prove who they are or accept terms.</p>
<p><a href="{url}">Done, back to the site</a>"""


@dataclass
class Waiting:
    user_key: Any
    wants_page: bool = False
    is_done: bool = False


class NextSteps:
    """Each challenge is for one sign-in, and for one that succeeds."""

    def __init__(self, site_url: str) -> None:
        self._return_url = f"{site_url}/auth/login/verify/return"
        self._waiting: dict[str, Waiting] = {}
        self._lock = threading.Lock()
        self.trusted: dict[str, Any] = {}
        """Token of a browser -> user."""

    def start(self, user_key: Any, *, wants_page: bool = False) -> dict[str, str]:
        """Return the values of an answer that asks for a next step."""
        challenge = secrets.token_urlsafe(18)
        with self._lock:
            self._waiting[challenge] = Waiting(user_key, wants_page)
        page = f"{request.host_url.rstrip('/')}{PAGE_PATH}?challenge={quote(challenge)}"
        return {"challenge": challenge, "step_url": page}

    def end(self, challenge: object) -> Any:
        """Return the user of a challenge, which is no longer valid; None if it is not."""
        with self._lock:
            waiting = self._waiting.pop(str(challenge), None)
        return waiting.user_key if waiting else None

    def user_key(self, challenge: object) -> Any:
        """Return the user of a challenge; None if it is not valid."""
        waiting = self._waiting.get(str(challenge))
        return waiting.user_key if waiting else None

    def is_waiting(self, challenge: object) -> bool:
        return str(challenge) in self._waiting

    def finish(self, challenge: object, code: object, right_code: str) -> tuple[str, Any]:
        """Return what the answer is: `right` with the user, `wrong`, `expired` or `over`."""
        with self._lock:
            waiting = self._waiting.get(str(challenge))
            if waiting is None:
                return "over", None
            if not waiting.wants_page and code == EXPIRED_CODE:
                return "expired", None
            is_right = waiting.is_done if waiting.wants_page else code == right_code
            if not is_right:
                return "wrong", None
            del self._waiting[str(challenge)]
        return "right", waiting.user_key

    def trust(self, user_key: Any) -> str:
        token = secrets.token_urlsafe(18)
        self.trusted[token] = user_key
        return token

    def page(self) -> Response:
        """The page of the backend. Opening it does what people would do there."""
        waiting = self._waiting.get(request.args.get("challenge", ""))
        if waiting:
            waiting.is_done = True
        return Response(_PAGE.format(url=escape(self._return_url)), mimetype="text/html")
