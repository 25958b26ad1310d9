"""Backends that teams use, unmodified and each as a process: tests/real_backends has their programs."""

import base64
import hmac
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import requests

from tests.support.commands import ROOT, free_port_pair, require_marker, run_command

HERE = ROOT / "tests" / "real_backends"
_SECONDS_TO_START = 120
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Program:
    """How a backend is started, and how the site is set up for it."""

    command: tuple[str, ...]
    """`{port}` and `{folder}`, an empty folder for its files, are replaced."""
    needs: str
    """A path that exists if its packages are installed."""
    make_target: str
    """The target of the Makefile that installs them."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the site, beside `BACKEND_URL`; `BACKEND` is the program's id by default. `{url}` is replaced."""
    path: str = ""
    """What `BACKEND_URL` has behind the host."""


def _python(name: str, **settings: str) -> Program:
    python = str(HERE / ".venv" / "bin" / "python")
    command = (python, f"{HERE}/serve_{name}.py", "{port}", "{folder}/database.sqlite")
    return Program(command, needs=".venv/ready", make_target="test-all", settings=settings)


def _short_lived(name: str, seconds: int, **settings: str) -> Program:
    """Access tokens live for some seconds, and refresh tokens rotate."""
    program = PROGRAMS.get(name) or _python(name)
    return replace(program, command=(*program.command, str(seconds)), settings={**program.settings, **settings})


def _better_auth(**settings: str) -> Program:
    command = ("node", f"{HERE}/serve_better_auth.mjs", "{port}")
    return Program(command, needs="node_modules/better-auth", make_target="test-all", settings=settings)


def _strapi(jwt_management: str, **settings: str) -> Program:
    command = ("node", f"{HERE}/strapi/serve.cjs", "{port}", "{folder}", jwt_management)
    needs = "strapi/node_modules/@strapi/strapi"
    return Program(command, needs=needs, make_target="test-backends", settings=settings)


PROGRAMS: Mapping[str, Program] = {
    "djoser": _python("djoser", LOGIN_IDENTIFIER="username"),
    "djoser-token": _python(
        "djoser",
        BACKEND="djoser",
        LOGIN_IDENTIFIER="username",
        BACKEND_LOGIN_PATH="/auth/token/login/",
        BACKEND_TOKEN="auth_token",
        BACKEND_TOKEN_HEADER="Authorization: Token {token}",
        BACKEND_LOGOUT="POST /auth/token/logout/",
    ),
    "dj-rest-auth": _python("dj_rest_auth"),
    "custom": _python(
        "dj_rest_auth",
        BACKEND_LOGIN="POST /dj-rest-auth/login/",
        BACKEND_LOGIN_BODY="email={identifier} password={password}",
        BACKEND_TOKEN="access",
        BACKEND_USER="GET /dj-rest-auth/user/",
        BACKEND_USER_FIELDS="id=pk name=first_name email=email",
        BACKEND_REFRESH="POST /dj-rest-auth/token/refresh/",
        BACKEND_REFRESH_TOKEN="cookie:my-refresh-token",
        BACKEND_REFRESH_SEND="cookie:my-refresh-token",
        BACKEND_LOGOUT="POST /dj-rest-auth/logout/",
        BACKEND_LOGOUT_REVOKES="false",
        BACKEND_MEANINGS="400 non_field_errors.0=E-mail is not verified. not_verified",
    ),
    "allauth": _python("allauth"),
    "oauth2": _python(
        "oauth2",
        BACKEND_CLIENT_ID="munjigi",
        BACKEND_CLIENT_SECRET="of-the-client-and-long-enough-for-any-algorithm",
        BACKEND_SCOPE="openid",
        BACKEND_LOGIN_PATH="/o/token/",
        BACKEND_REFRESH_PATH="/o/token/",
        BACKEND_USER_PATH="/o/userinfo/",
        BACKEND_LOGOUT_PATH="/o/revoke_token/",
    ),
    "fastapi-users": _python("fastapi_users"),
    "flask-security": _python(
        "flask_security",
        BACKEND_REGISTER_PATH="/register",
        BACKEND_FORGOT_PATH="/reset",
        BACKEND_RESET_PATH="/reset/{code}",
        BACKEND_RESEND_VERIFICATION_PATH="/confirm",
        BACKEND_CHANGE_PASSWORD_PATH="/change?include_auth_token",
    ),
    "better-auth": _better_auth(),
    "better-auth-username": _better_auth(
        BACKEND="better-auth",
        LOGIN_IDENTIFIER="username",
        BACKEND_LOGIN_PATH="/api/auth/sign-in/username",
        BACKEND_LOGIN_BODY="username={identifier} password={password}",
    ),
    "strapi": _strapi("refresh"),
    "strapi-legacy": _strapi("legacy-support", BACKEND="strapi"),
    "firebase": Program(
        ("node", f"{HERE}/firebase/serve.cjs", "{port}"),
        needs="firebase/node_modules/firebase-tools",
        make_target="test-backends",
        settings={
            "BACKEND_API_KEY": "any",
            "BACKEND_REFRESH_PATH": "{url}/securetoken.googleapis.com/v1/token?key={BACKEND_API_KEY}",
        },
        path="/identitytoolkit.googleapis.com",
    ),
}
"""By id: the value of `BACKEND`, or one with other settings. `custom` is dj-rest-auth, described by settings."""

PASSKEY_PROGRAMS: Mapping[str, Program] = {
    "allauth": PROGRAMS["allauth"],
    "better-auth": Program(
        ("node", f"{HERE}/better_auth_passkey/serve.mjs", "{port}"),
        needs="better_auth_passkey/node_modules/better-auth",
        make_target="test-all",
    ),
}
"""Those that hold passkeys. Better Auth's plugin is released for an older version than that of `PROGRAMS`."""

SHORT_LIVED: Mapping[str, Program] = {
    "djoser": _short_lived("djoser", 5),
    "allauth": _short_lived(
        "allauth",
        5,
        BACKEND_TOKEN="meta.access_token|data.access_token",
        BACKEND_TOKEN_HEADER="Authorization: Bearer {token}",
        BACKEND_REFRESH="POST /_allauth/app/v1/tokens/refresh",
        BACKEND_REFRESH_TOKEN="meta.refresh_token|data.refresh_token",
        BACKEND_REFRESH_SEND="json:refresh_token",
    ),
    "oauth2": _short_lived("oauth2", 5),
    "strapi": _short_lived("strapi", 5),
}
"""The same with access tokens of 5 seconds. `allauth` is with its JWT strategy."""


@dataclass
class Account:
    email: str
    username: str
    name: str
    identifier: str
    """What the person signs in with."""
    password: str = "correct-horse-9"
    secret: str = ""
    """Of its authenticator app (RFC 6238), in Base32."""
    recovery_codes: tuple[str, ...] = ()

    def code(self, step: int = 0) -> str:
        """What the authenticator app shows; step: so many times 30 seconds from now."""
        counter = (int(time.time()) // 30 + step).to_bytes(8)
        digest = hmac.digest(base64.b32decode(self.secret + "=" * (-len(self.secret) % 8)), counter, "sha1")
        offset = digest[-1] & 15
        return str((int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF) % 1_000_000).zfill(6)


class RealBackend:
    """A running backend. Its `/test/account` creates and changes accounts by the means of its framework."""

    def __init__(self, backend_id: str, program: Program, url: str) -> None:
        self.id = backend_id
        self.url = url
        self._program = program

    @property
    def site_settings(self) -> dict[str, Any]:
        own = {name.lower(): value.replace("{url}", self.url) for name, value in self._program.settings.items()}
        return {
            "backend": self.id,
            "backend_url": self.url + self._program.path,
            "backend_logout_path": None,
            "backend_profile_path": None,
            **own,
        }

    def create_account(self, *, is_verified: bool = True, has_second_factor: bool = False) -> Account:
        """Create an account that no other test has."""
        number = next(_numbers)
        email = f"minji{number}@example.com"
        signs_in_by_username = self._program.settings.get("LOGIN_IDENTIFIER") == "username"
        username = f"minji{number}" if signs_in_by_username else email
        account = Account(email, username, f"Minji{number}", identifier=username)
        flags = {"is_verified": is_verified, "has_second_factor": has_second_factor}
        credentials = {name: getattr(account, name) for name in ("email", "username", "name", "identifier", "password")}
        made = self._request("POST", {**credentials, **flags})
        secret, codes = made.get("secret", ""), made.get("recovery_codes", ())
        return replace(account, secret=secret, recovery_codes=tuple(codes))

    def change(self, account: Account, **changes: str) -> None:
        """Change `username`, `name`, `password` or, as `new_email`, the address."""
        self._request("PATCH", {"email": account.email, **changes})

    def last_link(self, email: str) -> dict[str, str]:
        """The values of the link in the last mail to this address: `code`, and `uid` if the link has one."""
        response = requests.get(f"{self.url}/test/mails", params={"to": email}, timeout=60)
        response.raise_for_status()
        link = re.findall(r"https?://\S+/\S+", response.json()[-1])[0]
        query = dict(parse_qsl(urlsplit(link).query))
        if query:
            codes = (query[name] for name in ("token", "key", "code", "confirmation", "oobCode") if name in query)
            values = {"uid": query.get("uid", ""), "code": next(codes)}
        else:  # the link leads to a path of the backend's own
            *_, uid, code = unquote(urlsplit(link).path).strip("/").split("/")
            values = {"uid": uid, "code": code}
        return {name: text for name, text in values.items() if text}

    def delete(self, account: Account) -> None:
        self._request("DELETE", {"email": account.email})

    def sent_code(self, account: Account) -> str:
        """The last code that was sent to this account."""
        return requests.get(f"{self.url}/test/sent", {"email": account.email}, timeout=60).text

    def _request(self, method: str, data: Mapping[str, object]) -> dict[str, Any]:
        response = requests.request(method, f"{self.url}/test/account", json=data, timeout=60)
        response.raise_for_status()
        made = response.json() if response.text.startswith("{") else {}
        return dict(made)


@contextmanager
def running_backend(backend_id: str, folder: Path, programs: Mapping[str, Program] = PROGRAMS) -> Iterator[RealBackend]:
    """Run this backend. Skips the test if its packages are not installed; in CI the test fails if they should be."""
    require_marker("external")
    program = programs[backend_id]
    if not (HERE / program.needs).exists() or shutil.which(program.command[0]) is None:
        is_expected = os.environ.get("CI") and program.make_target == "test-all"
        (pytest.fail if is_expected else pytest.skip)(f"{backend_id} is not installed: make {program.make_target}")
    port = free_port_pair()
    command = [part.format(port=port, folder=folder) for part in program.command]
    with run_command(*command, log=folder / "log", environ={}, cwd=folder) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_for(f"{url}/", _SECONDS_TO_START)
        yield RealBackend(backend_id, program, url)
