"""A stand-in for the backend that owns the users: the protocol of the contract's section 6, in memory.

It answers as Laravel with Sanctum does (status codes and bodies), checks what the real one checks, and has
one account for each failure that a person can meet.
"""

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue

PASSWORD = "correct-horse"
LONGEST_NAME = 30


@dataclass(frozen=True)
class Account:
    email: str
    name: str
    nick_name: str | None
    what: str
    """What signing in with it shows."""


ACCOUNTS = (
    Account("minji@example.com", "김민지", "민지", "signs in"),
    Account("jun@example.com", "Jun Park", None, "signs in, has no nickname"),
    Account("unverified@example.com", "Una", None, "address not verified (403)"),
    Account("locked@example.com", "Lock", None, "account locked (423)"),
    Account("throttled@example.com", "Thea", None, "too many attempts (429)"),
    Account("down@example.com", "Dan", None, "backend down (503)"),
    Account("html@example.com", "Hanna", None, "an HTML page instead of JSON"),
    Account("slow@example.com", "Sloan", None, "signs in after 3 seconds"),
    Account("nouser@example.com", "Noa", None, "good password, then no user"),
)


@dataclass
class People:
    """Who there is and which tokens are good. Guarded by one lock: the stand-in answers in threads."""

    users: dict[str | tuple[str, str], dict[str, Any]]
    """By e-mail address who signs in with a password, by provider and subject who comes from there."""
    tokens: dict[str, str | tuple[str, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, who: str | tuple[str, str]) -> str:
        with self.lock:
            token = f"{len(self.tokens) + 1}|{secrets.token_hex(24)}"
            self.tokens[token] = who
        return token

    def is_new(self, identity: tuple[str, str], **user: Any) -> bool:
        """Whether nobody had this identity; if so, the user is made."""
        with self.lock:
            if identity in self.users:
                return False
            self.users[identity] = {"id": len(self.users) + 1} | user
        return True

    def bearer(self) -> dict[str, Any] | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            return self.users.get(self.tokens.get(token, ""))

    def revoke(self) -> None:
        with self.lock:
            self.tokens.pop(request.headers.get("Authorization", "").removeprefix("Bearer "), None)


bp = Blueprint("backend", __name__)


def create_backend(delay: float = 0.0) -> Flask:
    """The stand-in as a WSGI site; `delay` seconds before each answer."""
    site = Flask("munjigi-stand-in-backend", static_folder=None, template_folder=None)
    site.extensions["people"] = People(
        {account.email: _user(number, account) for number, account in enumerate(ACCOUNTS, 1)}
    )
    site.before_request(lambda: time.sleep(delay))
    site.register_blueprint(bp)
    return site


def _user(number: int, account: Account) -> dict[str, Any]:
    return {"id": number, "name": account.name, "nick_name": account.nick_name, "email": account.email}


def people() -> People:
    return current_app.extensions["people"]  # type: ignore[no-any-return]  # Flask keeps anything there


@bp.post("/login")
def login() -> ResponseReturnValue:
    body = request.get_json(silent=True) or {}
    email, password = body.get("email"), body.get("password")
    if not isinstance(email, str) or not isinstance(password, str):
        return invalid({"email": "The email field is required.", "password": "The password field is required."})
    email = email.strip().lower()
    if failure := _FAILURES.get(email):
        return failure()
    if email not in people().users or password != PASSWORD:
        return invalid({"email": "These credentials do not match our records."})
    if email == "slow@example.com":
        time.sleep(3)
    return issued(people().admit(email))


@bp.post("/user")
def user() -> ResponseReturnValue:
    found = people().bearer()
    if found is None:
        return _unauthenticated()
    return {"data": {"user": None if found["email"] == "nouser@example.com" else found}}


@bp.patch("/profile")
def profile() -> ResponseReturnValue:
    found = people().bearer()
    if found is None:
        return _unauthenticated()
    names = request.get_json(silent=True) or {}
    if len(names.get("name") or "") > LONGEST_NAME:
        return invalid({"name": f"The name field must not be greater than {LONGEST_NAME} characters."})
    found.update(name=names.get("name"), nick_name=names.get("nick_name"))
    return {"data": {"user": found}}


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    if people().bearer() is None:
        return _unauthenticated()
    people().revoke()
    return "", 204


def issued(token: str) -> dict[str, Any]:
    """As Sanctum writes a new token."""
    return {"data": {"token": {"accessToken": {"name": "web"}, "plainTextToken": token}}}


def message(status: int, text: str, **headers: str) -> Response:
    response = jsonify(message=text)
    response.status_code = status
    response.headers.update(headers)
    return response


def _unauthenticated() -> Response:
    return message(401, "Unauthenticated.")


def invalid(fields: dict[str, str]) -> ResponseReturnValue:
    first = next(iter(fields.values()))
    return {"message": first, "errors": {name: [text] for name, text in fields.items()}}, 422


_FAILURES = {
    "unverified@example.com": lambda: message(403, "Your email address is not verified."),
    "locked@example.com": lambda: message(423, "Your account is locked."),
    "throttled@example.com": lambda: message(429, "Too Many Attempts.", **{"Retry-After": "57"}),
    "down@example.com": lambda: message(503, "Service Unavailable", **{"Retry-After": "60"}),
    "html@example.com": lambda: Response(
        "<!doctype html><title>Welcome</title><h1>It works</h1>", mimetype="text/html"
    ),
}
