"""Backends that no file of `backends/` describes, and what each of them has sent and received."""

import base64
import functools
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

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
        self.requests_with_account = 0
        """How many requests had the account in their body, in any field."""
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
    app: Flask = make(accounts)

    @app.before_request
    def count() -> None:
        body = unquote_plus(request.get_data(cache=True, parse_form_data=False).decode())
        accounts.requests_with_account += IDENTIFIER in body or USERNAME in body

    with serve_in_thread("127.0.0.1", lambda _: app) as port:
        yield f"http://127.0.0.1:{port}", accounts


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One way in which backends differ from each other; the other parts are usual."""

    login: str = "POST /api/login"
    identifier: str = "email"
    password: str = "password"
    required: tuple[str, ...] = ()
    """Further fields of the login."""
    form: bool = False
    validation: str = "none"
    """How missing fields are reported: `fastapi`, `laravel`, `nest`, `sentence`; `none`: as wrong credentials."""
    unknown_path: str = "json"
    """What other paths answer: `json` (404), `html` (404), `page` (200 with HTML), `empty401`, `empty403`."""
    wrong: tuple[int, str] = (401, '{"message": "Unauthorized"}')
    token_at: str = "token"
    """A place, as in settings."""
    refresh_at: str = ""
    refresh: str = "POST /api/token/refresh"
    refresh_by: str = "json:refreshToken"
    refreshed_at: str = ""
    """The place of the new access token, if it is another one."""
    send: str = "Authorization: Bearer {token}"
    user: str = "GET /api/me"
    user_at: str = "body"
    with_user: bool = False
    """The answer to the login has the user at `user`."""
    person: tuple[tuple[str, object], ...] = (("id", ID), ("name", NAME), ("email", IDENTIFIER))
    user_refusal: tuple[int, str] = (401, "{}")
    logout: str = "POST /api/logout"
    logout_works: bool = True
    more: tuple[tuple[str, object], ...] = ()
    """Further values of the answer to the login."""
    openapi: bool = False
    others: tuple[tuple[str, tuple[tuple[str, object], ...]], ...] = ()
    """Further paths, and what they answer to anybody."""


def shaped_backend(shape: Shape, accounts: Accounts) -> Flask:
    """A backend of this shape."""
    app = Flask("shaped")
    backend = _ShapedBackend(shape, accounts)
    for line, view in {
        shape.login: backend.login,
        shape.user: backend.user,
        shape.refresh: backend.refresh,
        shape.logout: backend.logout,
    }.items():
        if line:
            method, path = line.split(" ")
            app.add_url_rule(path, f"{method} {path}", view, methods=[method])
    for path, body in shape.others:
        app.add_url_rule(path, path, functools.partial(dict, body))
    if shape.openapi:
        app.add_url_rule("/openapi.json", "openapi", backend.openapi)
    app.register_error_handler(404, lambda _: backend.unknown_path())
    return app


class _ShapedBackend:
    def __init__(self, shape: Shape, accounts: Accounts) -> None:
        self._shape = shape
        self._accounts = accounts

    def login(self) -> Response:
        shape = self._shape
        is_form = request.mimetype == "application/x-www-form-urlencoded"
        fields = request.form.to_dict() if shape.form else request.get_json(silent=True) or {}
        wanted = (shape.identifier, shape.password, *shape.required)
        missing = [name for name in wanted if not _get(fields, name) or (shape.form and not is_form)]
        if missing and shape.validation != "none":
            return _validation(shape.validation, missing)
        if missing or not self._accounts.check(_get(fields, shape.identifier), _get(fields, shape.password)):
            return _raw(*shape.wrong)
        return self._with_tokens(shape.token_at, {**dict(shape.more), **self._user_of_login()})

    def _user_of_login(self) -> dict[str, object]:
        return {"user": dict(self._shape.person)} if self._shape.with_user else {}

    def _with_tokens(self, access_at: str, body: dict[str, Any]) -> Response:
        access = self._accounts.issue(secrets.token_urlsafe(30), self._accounts.access)
        values = {access_at: access}
        if self._shape.refresh_at:
            values[self._shape.refresh_at] = self._accounts.issue(secrets.token_urlsafe(30), self._accounts.refresh)
        if access_at == "body":
            return Response(access, mimetype="text/plain")
        response = Response()
        for place, value in values.items():
            kind, _, name = place.rpartition(":")
            if kind == "header":
                response.headers[name] = f"Bearer {value}" if name == "Authorization" else value
            elif kind == "cookie":
                response.set_cookie(name, value, httponly=True, path="/api")
            else:
                *parents, key = name.split(".")
                target = body
                for parent in parents:
                    target = target.setdefault(parent, {})
                target[key] = value
        response.data = json.dumps(body)
        response.mimetype = "application/json"
        return response

    def user(self) -> Response:
        if self._token() not in self._accounts.access:
            return _raw(*self._shape.user_refusal)
        body: Any = dict(self._shape.person)
        for key in reversed(self._shape.user_at.split(".") if self._shape.user_at != "body" else []):
            body = [body] if key.isdigit() else {key: body}
        return jsonify(body)

    def refresh(self) -> Response:
        where, _, name = self._shape.refresh_by.partition(":")
        fields: Any = request.cookies if where == "cookie" else request.get_json(silent=True) or {}
        if fields.get(name) not in self._accounts.refresh:
            return _raw(401, "{}")
        self._accounts.refresh.remove(fields[name])
        return self._with_tokens(self._shape.refreshed_at or self._shape.token_at, {})

    def logout(self) -> Response:
        if self._token() not in self._accounts.access:
            return _raw(*self._shape.user_refusal)
        if self._shape.logout_works:
            self._accounts.access.remove(self._token())
        return Response(status=204)

    def _token(self) -> str:
        name, _, template = self._shape.send.partition(": ")
        return request.headers.get(name, "").removeprefix(template.removesuffix("{token}"))

    def unknown_path(self) -> Response:
        match self._shape.unknown_path:
            case "html":
                return Response(f"<pre>Cannot {request.method} {request.path}</pre>", status=404)
            case "page":
                return Response("<!doctype html><title>App</title>", status=200)
            case "empty401" | "empty403":
                return Response(status=int(self._shape.unknown_path[-3:]))
            case _:
                return _raw(404, json.dumps({"message": f"No {request.path}", "status": 404}))

    def openapi(self) -> Response:
        method, path = self._shape.login.split(" ")
        user_method, user_path = self._shape.user.split(" ")
        names = (self._shape.identifier, self._shape.password)
        schema = {"type": "object", "required": names, "properties": {name: {"type": "string"} for name in names}}
        kind = "application/x-www-form-urlencoded" if self._shape.form else "application/json"
        register = {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}
        body = {"content": {kind: {"schema": {"$ref": "#/components/schemas/Login"}}}}
        return jsonify(
            openapi="3.1.0",
            paths={
                "/accounts/register": register,
                path: {method.lower(): {"requestBody": body}},
                user_path: {user_method.lower(): {}},
            },
            components={"schemas": {"Login": schema}},
        )


def _get(fields: Any, name: str) -> Any:
    for key in name.split("."):
        fields = fields.get(key) if isinstance(fields, dict) else None
    return fields


def _raw(status: int, body: str) -> Response:
    return Response(body, status=status, mimetype="application/json" if body.startswith("{") else "text/plain")


def _validation(style: str, missing: list[str]) -> Response:
    match style:
        case "fastapi":
            items = [
                {"type": "missing", "loc": ["body", *name.split(".")], "msg": "Field required"} for name in missing
            ]
            return _raw(422, json.dumps({"detail": items}))
        case "laravel":
            errors = {name: [f"The {name} field is required."] for name in missing}
            return _raw(422, json.dumps({"message": "Invalid.", "errors": errors}))
        case "nest":
            message = [f"{name} should not be empty" for name in missing]
            return _raw(400, json.dumps({"statusCode": 400, "message": message, "error": "Bad Request"}))
        case _:
            return _raw(400, json.dumps({"message": f"{' and '.join(missing).capitalize()} are required"}))
