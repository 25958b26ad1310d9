"""Learns the login: its path and the fields of its body.

Paths and fields are tried with an empty body and with an account that cannot exist. The operator's password comes last,
and is sent at most `MAX_ATTEMPTS` times.
"""

import re
from collections.abc import Iterator
from itertools import islice, product
from urllib.parse import urlsplit

import backends
from backends.base import placeholders
from doctor.sign_in.answers import fields_named, plain, signature
from doctor.sign_in.connection import StoppedError, is_missing
from doctor.sign_in.learning import Learning, lines_of, required_settings
from doctor.sign_in.openapi import Operation
from doctor.sign_in.tokens import access_token, expiry, refresh_token
from services.backend.answer import Answer

MAX_ATTEMPTS = 4
"""How often the operator's password is sent while the login is learned: backends lock accounts."""

_FOLDERS = ("/auth", "/member", "/members", "/user", "/users")
"""What is tried below versions 2 and 3. Few: each is combined with four prefixes and with all `_NAMES`."""
_PREFIXES = (
    "/api/auth", "/auth", "/api", "", "/api/v1/auth", "/api/v1", "/v1/auth", "/v1", "/api/users", "/users",
    "/api/v1/users", "/api/members", "/members", "/api/v1/members", "/api/member", "/member", "/api/user", "/user",
    "/api/account", "/account", "/accounts", "/api/accounts", "/v1/users",
    "/v1/members", "/v1/member", "/v1/account", "/v1/accounts", "/api/v1/account", "/api/v1/accounts", "/v1/user",
    "/api/v1/user", "/api/v1/member", "/customers", "/api/customers", "/rest-auth",
    *(f"/{version}{folder}" for version in ("api/v2", "api/v3", "v2", "v3") for folder in ("", *_FOLDERS)),
)  # fmt: skip
_NAMES = ("login", "signin", "sign-in", "signIn", "sign_in", "authenticate")
_OTHER_PATHS = (
    "/api/session", "/session", "/api/v1/session", "/v1/session", "/api/sessions", "/sessions", "/api/v1/sessions",
    "/v1/sessions", "/api/authenticate", "/authenticate", "/api/token", "/token", "/auth/token", "/oauth/token",
    "/api/auth/token", "/api/token/", "/api/auth", "/auth", "/auth/login/", "/api/auth/login/", "/api/login/",
    "/login/", "/api/sanctum/token", "/sanctum/token", "/api/v1/token", "/v1/token", "/api/auth/local", "/auth/local",
    "/api/log-in", "/log-in", "/api/login_check", "/rest-auth/login/", "/api/accounts/login/", "/accounts/login/",
    "/api/users/login/", "/users/login/", "/api/v1/auth/login/", "/api/v1/login/", "/api/v1/auth/token/",
    "/api/jwt/create/", "/auth/email/login", "/api/auth/email/login", "/api/v1/auth/email/login", "/email/login",
    "/api/log_in", "/log_in", "/users/log_in", "/account/sessions/email", "/v1/account/sessions/email", "/o/token/",
    "/connect/token",
)  # fmt: skip
_IDENTIFIERS = {
    "email": ("email", "username", "identifier", "login", "id", "userId", "loginId"),
    "username": ("username", "login", "id", "userId", "loginId", "identifier", "account", "memberId", "email"),
    "phone": ("phone", "phoneNumber", "phone_number", "mobile", "username", "login", "identifier"),
}
_NESTED = ("user.email", "user.password")
_IDENTIFIER_WORDS = ("email", "user", "login", "identi", "account", "member", "phone", "mobile", "mail", "id")
_PASSWORD_WORDS = ("pass", "pwd", "pw", "secret")
_OAUTH_ERRORS = ("invalid_request", "invalid_client", "unsupported_grant_type", "invalid_grant")
_CONSTANTS = {"devicename": "web", "device": "web", "platform": "web", "granttype": "password"}
"""Fields that backends require beside the two, and what they get."""


def learn_login(learning: Learning) -> Answer:
    """Sign in with as few attempts as possible, and learn how. Returns the answer with the token.

    Raises `StoppedError`.
    """
    report = learning.report
    report.heading("Looking for the login")
    for line, body, answer in islice(_attempts(learning), MAX_ATTEMPTS):
        report.answer(f"{line} with {_body_text(body)}", answer)
        place = access_token(answer) if 200 <= answer.status < 300 else None
        if place and not (place.startswith("cookie:") and _variants(line)):
            learning.connection.learned_settings |= {
                "BACKEND_LOGIN": line,
                **_without_default(body),
                "BACKEND_TOKEN": place,
            }
            _learn_other_places(learning, answer)
            return answer
        if answer.status >= 300 or not _variants(line):
            _check_understood(learning, line, body, answer)
    _report_openid_provider(learning)
    needed = {name: required_settings(backends.find(name)) for name in backends.names()}
    others = ", ".join(f"{name} ({', '.join(names)})" for name, names in needed.items() if names)
    report.line(f"these kinds of backends are tried only with settings of their own: {others}")
    raise StoppedError(_hint(learning))


def _hint(learning: Learning) -> str:
    """What the operator can do if no attempt has signed in."""
    environ = learning.connection.environ
    body = '--login-body "id={identifier} pw={password}"'
    if environ.get("BACKEND_LOGIN"):
        fields = "Are these its fields?" if environ.get("BACKEND_LOGIN_BODY") else f"Name its fields with {body}."
        return f"{environ['BACKEND_LOGIN']} gave no token: the path, the fields or the password is wrong. {fields}"
    url = learning.connection.settings().backend_url
    base = f"If all calls are below a path such as /api/v2, set BACKEND_URL={url}/api/v2"
    if urlsplit(url).path.strip("/"):
        base = "Is the path of BACKEND_URL right?"
    return (
        'No login was found, or the password is wrong. Name the call with --login "POST /path" and, if its fields are'
        f" unusual, {body}. {base}"
    )


def _attempts(learning: Learning) -> Iterator[tuple[str, dict[str, str], Answer]]:
    """Send the operator's password to calls that may be the login. Yields each with its body and its answer."""
    for call, documented_body in _calls(learning):
        for body in _bodies(learning, call, documented_body):
            for line in (call, *_variants(call)):
                answer = learning.connection.probe("login", learning.account.values, BACKEND_LOGIN=line, **body)
                if answer is not None:
                    yield line, body, answer
                if answer is None or answer.status >= 300:
                    break


def _variants(line: str) -> list[str]:
    """The same call with the query that a known kind of backend needs to answer with a token."""
    lines = lines_of([backends.find(name).login for name in backends.names()])
    return [each for each in lines if "?" in each and each.partition("?")[0] == line]


def _check_understood(learning: Learning, line: str, body: dict[str, str], answer: Answer) -> None:
    """Raise `StoppedError` if the answer differs from the one to an account that cannot exist: the call is right."""
    unknown = learning.connection.probe("login", learning.account.unknown, BACKEND_LOGIN=line, **body)
    if unknown is not None and signature(unknown) != signature(answer):
        raise StoppedError(
            "This answer has no token, but it is not the one to an unknown account either: the fields are right. Is the"
            " password right? Is the account verified, and without a second factor?"
        )


def _report_openid_provider(learning: Learning) -> None:
    """Say what to set if the backend is an OpenID provider: it needs a client id, which nobody can guess."""
    path = "/.well-known/openid-configuration"  # OpenID Connect Discovery 1.0, 4
    answer = learning.connection.probe("user", {}, BACKEND_USER=f"GET {path}")
    metadata = answer.get("body") if answer is not None and answer.status == 200 else None
    if not isinstance(metadata, dict) or "token_endpoint" not in metadata:
        return
    calls = {name: backends.find(name).login for name in backends.names()}
    grants = [name for name, call in calls.items() if call and (call.body or {}).get("grant_type") == "password"]
    report = learning.report
    report.line(f"the backend is an OpenID provider: register a client, and set BACKEND={' or '.join(grants)} and")
    base = learning.connection.settings().backend_url
    for setting, endpoint in (("LOGIN", "token"), ("USER", "userinfo"), ("LOGOUT", "revocation")):
        if isinstance(url := metadata.get(f"{endpoint}_endpoint"), str):
            report.line(f"    BACKEND_{setting}_PATH={url.removeprefix(base)}")
    report.line("    BACKEND_CLIENT_ID=<the id of the client>")


def _calls(learning: Learning) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Yield calls that may be the login, the likely ones first, with the body that the description of the API has."""
    operations = {each.line: each for each in learning.operations if each.method == "POST"}
    if line := learning.connection.environ.get("BACKEND_LOGIN"):
        yield line, _described_body(learning, operations[line]) if line in operations else None
        return
    for line, operation in operations.items():
        if _password_field(operation.fields) and _is_login_path(operation.path):
            learning.report.line(f"the description of the API has {line}")
            yield line, _described_body(learning, operation)
    for path in _paths():
        answer = learning.connection.probe("login", {}, BACKEND_LOGIN=f"POST {path}")
        if answer is not None and _redirects_to_slash(answer, path):
            path += "/"  # noqa: PLW2901
            answer = learning.connection.probe("login", {}, BACKEND_LOGIN=f"POST {path}")
        if answer is not None and _is_token_endpoint(path, answer):
            _report_token_endpoint(learning, path, answer)
        elif answer is not None and _may_be_login(learning, answer):
            learning.report.line(f"POST {path} answers {answer.status} to an empty body")
            yield f"POST {path}", None


def _is_token_endpoint(path: str, answer: Answer) -> bool:
    """Whether this path refuses an empty body with a code of OAuth 2.0 (RFC 6749, 5.2)."""
    return "token" in path and answer.status in (400, 401) and answer.get("error") in _OAUTH_ERRORS


def _report_token_endpoint(learning: Learning, path: str, answer: Answer) -> None:
    """Say what to set for OAuth 2.0: it needs a client id, which nobody can guess. No password is sent."""
    report = learning.report
    report.line(f"POST {path} answers {answer.status} as a token endpoint of OAuth 2.0: with these, run this again")
    report.line("    BACKEND=oauth2")
    report.line(f"    BACKEND_LOGIN_PATH={path}")
    report.line(f"    BACKEND_REFRESH_PATH={path}")
    report.line("    BACKEND_USER_PATH=<the path that returns the user, such as /userinfo>")
    report.line("    BACKEND_CLIENT_ID=<the id of a client with the password grant>")
    report.line("    BACKEND_CLIENT_SECRET=<its secret>")


def _may_be_login(learning: Learning, answer: Answer) -> bool:
    return not is_missing(answer) and answer.status < 500 and signature(answer) not in learning.missing


def _redirects_to_slash(answer: Answer, path: str) -> bool:
    return 300 <= answer.status < 400 and answer.response.headers.get("Location", "").endswith(f"{path}/")


def _is_login_path(path: str) -> bool:
    """Not the calls with a password that create or change accounts."""
    is_login = re.search(r"log-?_?in|sign-?_?in|session|token|auth", path, re.IGNORECASE)
    is_other = re.search(r"regist|sign-?_?up|join|reset|forgot|change|verif|refresh|confirm|password", path, re.I)
    return is_login is not None and is_other is None and not placeholders(path)


def _paths() -> Iterator[str]:
    preset_paths = [
        line.partition(" ")[2] for line in lines_of([backends.find(name).login for name in backends.names()])
    ]
    common_paths = [f"{prefix}/{name}" for name, prefix in product(_NAMES, _PREFIXES)]
    paths = (*common_paths[: len(_PREFIXES)], *preset_paths, *_OTHER_PATHS, *common_paths)
    yield from dict.fromkeys(path for path in paths if "?" not in path)


def _bodies(learning: Learning, line: str, documented_body: dict[str, str] | None) -> Iterator[dict[str, str]]:
    """Yield bodies for this call as settings: the one that it understands, else all that are usual."""
    if body_setting := learning.connection.environ.get("BACKEND_LOGIN_BODY"):
        is_form = learning.connection.environ.get("BACKEND_LOGIN_FORM")
        yield {"BACKEND_LOGIN_BODY": body_setting} | ({"BACKEND_LOGIN_FORM": is_form} if is_form else {})
        return
    if documented_body:
        yield documented_body
        return
    usual_bodies: list[dict[str, str]] = []
    for form in (False, True):
        empty = learning.connection.probe("login", {}, BACKEND_LOGIN=line, BACKEND_LOGIN_FORM=str(form).lower())
        if empty is None or empty.status == 415:
            continue
        bodies = _bodies_to_try(line, fields_named(empty), form=form, kind=learning.account.kind)
        validates = empty.status not in (401, 403)
        for body in bodies if validates else bodies[:1]:  # a backend may limit the attempts at an unknown account
            if accepted_body := _understood(learning, line, body, empty):
                yield accepted_body
                return
        usual_bodies += bodies
    learning.report.line("its answers do not say which fields it wants: trying the usual ones")
    usual_bodies.sort(key=lambda body: _unlikely(line, body, learning.account.kind))
    yield from usual_bodies


def _unlikely(line: str, body: dict[str, str], kind: str) -> int:
    """In which order the usual bodies are tried if nothing says which one is right. They are sorted within each."""
    is_form, names = "BACKEND_LOGIN_FORM" in body, _names_of(body)
    if body in _known_bodies(line) and (names[0] != "email" or kind == "email"):
        return 0
    if names == [*_NESTED]:
        return 1 if line.endswith("/sign_in") else 4  # Ruby on Rails with Devise
    if is_form:
        return 1 if names[0] == "username" else 3  # Spring's form login
    return 0 if names[0] == _IDENTIFIERS[kind][0] else 2


def _known_bodies(line: str) -> list[dict[str, str]]:
    """The bodies that the known kinds of backends send to this call."""
    calls = [call for name in backends.names() if (call := backends.find(name).login) and call.body]
    return [
        {"BACKEND_LOGIN_BODY": " ".join(f"{name}={text}" for name, text in (call.body or {}).items())}
        | ({"BACKEND_LOGIN_FORM": "true"} if call.form else {})
        for call in calls
        if f"{call.method} {call.path}" == line and placeholders(call.body) == {"identifier", "password"}
    ]


def _bodies_to_try(line: str, field_names: list[str], *, form: bool, kind: str) -> list[dict[str, str]]:
    """First the fields that the backend has named, then what known kinds of backends send to this call, then others."""
    has_both_fields = _password_field(field_names) and _identifier_field(field_names, kind)
    preset_bodies = sorted(_known_bodies(line), key=lambda body: _rank(_names_of(body)[0], kind))
    bodies = [_body(field_names, form=form, kind=kind)] if has_both_fields else []
    bodies += [body for body in preset_bodies if ("BACKEND_LOGIN_FORM" in body) == form]
    bodies += [_body([name, "password"], form=form, kind=kind) for name in _IDENTIFIERS[kind]]
    bodies += [] if form else [_body([*_NESTED], form=False, kind=kind)]
    return [body for index, body in enumerate(bodies) if body not in bodies[:index]]


def _understood(learning: Learning, line: str, body: dict[str, str], empty: Answer) -> dict[str, str] | None:
    """The body, perhaps with further fields, if the call refuses an unknown account unlike an empty body."""
    answer = learning.connection.probe("login", learning.account.unknown, BACKEND_LOGIN=line, **body)
    if answer is None or answer.status == 415 or signature(answer) == signature(empty):
        return None
    is_validation = answer.status in (400, 422) or answer.status < 300
    missing_fields = [name for name in fields_named(answer) if name not in _names_of(body)] if is_validation else []
    return body if not missing_fields else _with_constants(body, missing_fields)


def _described_body(learning: Learning, operation: Operation) -> dict[str, str] | None:
    kind = learning.account.kind
    fields = [name for name in operation.fields if plain(name) not in _CONSTANTS or name in operation.required]
    if not _password_field(fields) or not _identifier_field(fields, kind):
        return None
    return _body(fields, form=operation.form, kind=kind)


def _body(names: list[str], *, form: bool, kind: str) -> dict[str, str]:
    password = _password_field(names) or "password"
    identifier = _identifier_field([name for name in names if name != password], kind) or names[0]
    constants = [
        f"{name}={_CONSTANTS[plain(name)]}"
        for name in names
        if plain(name) in _CONSTANTS and name not in (identifier, password)
    ]
    text = " ".join([f"{identifier}={{identifier}}", f"{password}={{password}}", *constants])
    return {"BACKEND_LOGIN_BODY": text} | ({"BACKEND_LOGIN_FORM": "true"} if form else {})


def _with_constants(body: dict[str, str], names: list[str]) -> dict[str, str] | None:
    """The body with further fields that it needs, if it is clear what they are."""
    if not all(plain(name) in _CONSTANTS for name in names):
        return None
    constants = "".join(f" {name}={_CONSTANTS[plain(name)]}" for name in names)
    return {**body, "BACKEND_LOGIN_BODY": body["BACKEND_LOGIN_BODY"] + constants}


def _without_default(body: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in body.items() if text != "email={identifier} password={password}"}


def _names_of(body: dict[str, str]) -> list[str]:
    return [pair.partition("=")[0] for pair in body["BACKEND_LOGIN_BODY"].split()]


def _password_field(names: list[str]) -> str | None:
    return next((name for name in names if any(word in plain(name) for word in _PASSWORD_WORDS)), None)


def _identifier_field(names: list[str], kind: str) -> str | None:
    others = (*_PASSWORD_WORDS, "device", "client", "grant")
    fields = [name for name in names if not any(word in plain(name) for word in others)]
    candidates = [name for name in fields if any(word in plain(name) for word in _IDENTIFIER_WORDS)]
    if not candidates and len(fields) == 1:
        candidates = fields
    return min(candidates, key=lambda name: _rank(name, kind), default=None)


def _rank(name: str, kind: str) -> int:
    """How unusual the name of a field is for this kind of identifier."""
    usual = [plain(name) for name in _IDENTIFIERS[kind]]
    return usual.index(plain(name)) if plain(name) in usual else len(usual)


def _body_text(body: dict[str, str]) -> str:
    return f"{'form data' if 'BACKEND_LOGIN_FORM' in body else 'JSON'} {body['BACKEND_LOGIN_BODY']}"


def _learn_other_places(learning: Learning, answer: Answer) -> None:
    learned_settings = learning.connection.learned_settings
    if place := refresh_token(answer):
        learned_settings["BACKEND_REFRESH_TOKEN"] = place
    if expires := expiry(answer, answer.get(learning.token_place)):
        learned_settings["BACKEND_EXPIRES"] = expires
