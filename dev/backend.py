"""A stand-in backend with its users in memory. It implements the protocol of `docs/backend.openapi.yaml`.

Status codes and bodies are those of Laravel with Sanctum. Each failure that a user can meet has an account.
"""

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue

PASSWORD = "correct-horse"
MAX_NAME_LENGTH = 30


@dataclass(frozen=True)
class Account:
    email: str
    name: str
    nick_name: str | None
    description: str
    """What happens when this user signs in."""

    @property
    def username(self) -> str:
        return self.email.partition("@")[0]

    @property
    def phone(self) -> str:
        return f"010-5555-{1001 + ACCOUNTS.index(self)}"

    def identifiers(self, kind: str) -> tuple[str, ...]:
        """What this user may sign in with. kind: the value of `LOGIN_IDENTIFIER`."""
        kinds = ("email", "username", "phone") if kind == "any" else (kind,)
        return tuple(str(getattr(self, name)) for name in kinds)


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
class UserStore:
    """Users and tokens, guarded by a lock: the stand-in serves requests in threads."""

    users: dict[str | tuple[str, str], dict[str, Any]]
    """By email address (users with a password), or by provider and subject (users of a provider)."""
    tokens: dict[str, str | tuple[str, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def issue_token(self, user_key: str | tuple[str, str]) -> str:
        """Return a new token for the user with this key in `users`."""
        with self.lock:
            token = f"{len(self.tokens) + 1}|{secrets.token_hex(24)}"
            self.tokens[token] = user_key
        return token

    def add_user(self, identity: tuple[str, str], **user: Any) -> bool:
        """Create a user for this provider and subject. Returns False if the user exists."""
        with self.lock:
            if identity in self.users:
                return False
            self.users[identity] = {"id": len(self.users) + 1} | user
        return True

    def current_user(self) -> dict[str, Any] | None:
        """Return the user of the request's bearer token, or None."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            return self.users.get(self.tokens.get(token, ""))

    def revoke_current_token(self) -> None:
        with self.lock:
            self.tokens.pop(request.headers.get("Authorization", "").removeprefix("Bearer "), None)


bp = Blueprint("backend", __name__)


def create_backend(delay: float = 0.0) -> Flask:
    """Create the backend as a Flask application that waits `delay` seconds before each response."""
    site = Flask("munjigi-stand-in-backend", static_folder=None, template_folder=None)
    site.extensions["user_store"] = UserStore(
        {account.email: _user(number, account) for number, account in enumerate(ACCOUNTS, 1)}
    )
    site.before_request(lambda: time.sleep(delay))
    site.register_blueprint(bp)
    return site


def _user(number: int, account: Account) -> dict[str, Any]:
    return {"id": number, "name": account.name, "nick_name": account.nick_name, "email": account.email}


def user_store() -> UserStore:
    return current_app.extensions["user_store"]  # type: ignore[no-any-return]  # `extensions` is untyped


@bp.post("/login")
def login() -> ResponseReturnValue:
    body = request.get_json(silent=True) or {}
    email = next((body[name] for name in ("email", "username", "phone", "identifier") if body.get(name)), None)
    password = body.get("password")
    if not isinstance(email, str) or not isinstance(password, str):
        return validation_error(
            {"email": "The email field is required.", "password": "The password field is required."}
        )
    email = _emails().get(email.strip().lower().replace("-", ""), email.strip().lower())
    if failure := _FAILURES.get(email):
        return failure()
    if email not in user_store().users or password != PASSWORD:
        return validation_error({"email": "These credentials do not match our records."})
    if email == "slow@example.com":
        time.sleep(3)
    return token_response(user_store().issue_token(email))


def _emails() -> dict[str, str]:
    """User name or telephone number -> email address."""
    usernames = {account.username: account.email for account in ACCOUNTS}
    return usernames | {account.phone.replace("-", ""): account.email for account in ACCOUNTS}


@bp.post("/user")
def user() -> ResponseReturnValue:
    current_user = user_store().current_user()
    if current_user is None:
        return _unauthenticated()
    return {"data": {"user": None if current_user["email"] == "nouser@example.com" else current_user}}


@bp.patch("/profile")
def profile() -> ResponseReturnValue:
    current_user = user_store().current_user()
    if current_user is None:
        return _unauthenticated()
    names = request.get_json(silent=True) or {}
    if len(names.get("name") or "") > MAX_NAME_LENGTH:
        return validation_error({"name": f"The name field must not be greater than {MAX_NAME_LENGTH} characters."})
    current_user.update(name=names.get("name"), nick_name=names.get("nick_name"))
    return {"data": {"user": current_user}}


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    if user_store().current_user() is None:
        return _unauthenticated()
    user_store().revoke_current_token()
    return "", 204


def token_response(token: str) -> dict[str, Any]:
    """Return the response body for a new token, in the form of Laravel Sanctum."""
    return {"data": {"token": {"accessToken": {"name": "web"}, "plainTextToken": token}}}


def error_response(status: int, text: str, **headers: str) -> Response:
    response = jsonify(message=text)
    response.status_code = status
    response.headers.update(headers)
    return response


def _unauthenticated() -> Response:
    return error_response(401, "Unauthenticated.")


def validation_error(fields: dict[str, str]) -> ResponseReturnValue:
    first = next(iter(fields.values()))
    return {"message": first, "errors": {name: [text] for name, text in fields.items()}}, 422


_FAILURES = {
    "unverified@example.com": lambda: error_response(403, "Your email address is not verified."),
    "locked@example.com": lambda: error_response(423, "Your account is locked."),
    "throttled@example.com": lambda: error_response(429, "Too Many Attempts.", **{"Retry-After": "57"}),
    "down@example.com": lambda: error_response(503, "Service Unavailable", **{"Retry-After": "60"}),
    "html@example.com": lambda: Response(
        "<!doctype html><title>Welcome</title><h1>It works</h1>", mimetype="text/html"
    ),
}
