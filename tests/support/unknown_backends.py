"""Backends that no file of `backends/` describes, and what each of them has sent and received."""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, jsonify, request

from tests.support.site import serve_in_thread

IDENTIFIER = "sora.canary@example.com"
USERNAME = "sora-canary"
PASSWORD = "Canary-pass-phrase-81"
NAME = "Canary Kim"
ID = "usr_canary_5512"


class Accounts:
    """What a test looks at afterwards."""

    def __init__(self) -> None:
        self.attempts = 0
        """How often somebody tried to sign in to the account."""
        self.successes = 0
        self.access: set[str] = set()
        self.refresh: set[str] = set()
        self.issued: list[str] = [PASSWORD, NAME, ID]
        """Secrets and personal data, which nothing may print."""

    def check(self, identifier: object, password: object) -> bool:
        is_known = identifier in (IDENTIFIER, USERNAME)
        self.attempts += is_known
        is_right = is_known and password == PASSWORD
        self.successes += is_right
        return is_right

    def issue(self, token: str, into: set[str]) -> str:
        into.add(token)
        self.issued.append(token)
        return token


def _jwt(**claims: object) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"jti": secrets.token_hex(8), **claims})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{encoded[0]}.{encoded[1]}.{secrets.token_urlsafe(32)}"


def members_backend(accounts: Accounts) -> Flask:  # noqa: C901 -- one view each
    """Form data, tokens deep in the answer, an empty 401 for every unknown path, ids of members, a rotating refresh."""
    app = Flask("members")

    def tokens() -> dict[str, Any]:
        access = accounts.issue(_jwt(sub=ID, exp=int(time.time()) + 1800), accounts.access)
        refresh = accounts.issue(_jwt(sub=ID, exp=int(time.time()) + 86400), accounts.refresh)
        return {"accessJwt": access, "refreshJwt": refresh, "tokenType": "Bearer"}

    def bearer() -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    @app.before_request
    def authenticate() -> Response | None:
        open_paths = ("/svc/v3/members/sign-in", "/svc/v3/members/reissue")
        return None if request.path in open_paths or bearer() in accounts.access else Response(status=401)

    @app.post("/svc/v3/members/sign-in")
    def sign_in() -> tuple[Response, int]:
        if request.mimetype != "application/x-www-form-urlencoded":
            return jsonify(timestamp=time.time(), status=415, error="Unsupported Media Type", path=request.path), 415
        missing = [name for name in ("memberEmail", "passwd") if not request.form.get(name)]
        if missing:
            return jsonify(code="INVALID", errors=[{"field": name, "reason": "NotBlank"} for name in missing]), 400
        if not accounts.check(request.form["memberEmail"], request.form["passwd"]):
            return jsonify(code="BAD_CREDENTIALS", message="Nope."), 401
        return jsonify(result={"tokens": tokens(), "firstLogin": False}), 200

    @app.get("/svc/v3/members/me")
    def me() -> Response:
        return jsonify(
            result={"member": {"memberId": ID, "memberName": NAME, "nickname": None, "emailAddress": IDENTIFIER}}
        )

    @app.post("/svc/v3/members/reissue")
    def reissue() -> tuple[Response, int]:
        token = (request.get_json(silent=True) or {}).get("refreshJwt")
        if token not in accounts.refresh:
            return jsonify(code="BAD_TOKEN"), 401
        accounts.refresh.remove(token)
        return jsonify(result={"tokens": tokens()}), 200

    @app.post("/svc/v3/members/logout")
    def logout() -> tuple[str, int]:
        accounts.access.discard(bearer())
        return "", 204

    return app


def codes_backend(accounts: Accounts) -> Flask:  # noqa: C901 -- one view each
    """Status 200 for everything, with a number in the body; a token in a header of its own; user names."""
    app = Flask("codes")

    def answer(code: int, **data: object) -> Response:
        return jsonify(code=code, message="see code", data=data or None)

    def token() -> str:
        return request.headers.get("X-Haru-Auth", "")

    @app.errorhandler(404)
    def not_found(_: Exception) -> Response:
        return answer(40400)

    @app.post("/api/account/login")
    def login() -> Response:
        body = request.get_json(silent=True) or {}
        if not body.get("loginId") or not body.get("password"):
            return answer(40000)
        if not accounts.check(body["loginId"], body["password"]):
            return answer(40101)
        response = answer(0, welcome=True)
        response.headers["X-Haru-Auth"] = accounts.issue(secrets.token_urlsafe(30), accounts.access)
        return response

    @app.get("/api/account/profile")
    def profile() -> Response:
        if token() not in accounts.access:
            return answer(40300)
        return answer(0, userNo=5512, loginId=USERNAME, fullName=NAME)

    @app.post("/api/account/logout")
    def logout() -> Response:
        if token() not in accounts.access:
            return answer(40300)
        accounts.access.remove(token())
        return answer(0)

    return app


@contextmanager
def unknown_backend(make: Any) -> Iterator[tuple[str, Accounts]]:
    """Run this backend. Yields its URL and what it remembers."""
    accounts = Accounts()
    with serve_in_thread("127.0.0.1", lambda _: make(accounts)) as port:
        yield f"http://127.0.0.1:{port}", accounts
