"""Calls the backend through the site's own client, with settings that change while they are learned."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import click

import backends
import config
import errors
from backends import overrides
from backends.base import CALLS
from doctor.sign_in.answers import signature
from services import __version__
from services.backend.answer import Answer
from services.backend.client import BackendClient
from services.clock import Clock
from services.http.client import HttpClient
from services.http.response import parse_retry_after
from services.request_context import Deadline, RequestContext

CLOCK = Clock()
NO_ANSWER = "The backend does not answer. Check BACKEND_URL, and that this machine can reach it."
_NOT_NEEDED = {"SITE_URL": "https://login.example.com", "SECRET_KEY": secrets.token_urlsafe(33)}
"""Required settings that a sign-in at the backend does not use."""
_NOT_LEARNED_YET = {"BACKEND_LOGIN": "POST /", "BACKEND_TOKEN": "token", "BACKEND_USER": "GET /"}
_PARTS = frozenset(overrides.SETTINGS) - {"BACKEND_HEADERS"}
_CALL_PARTS = frozenset(
    {f"BACKEND_{call.upper()}{part}" for call in CALLS for part in ("", "_PATH", "_BODY", "_FORM")}
    | {"BACKEND_TOKEN_HEADER", "BACKEND_REFRESH_SEND"}
)
_USER_PLACES = ("BACKEND_USER_AT", "BACKEND_USER_FIELDS")


_MAX_WAITS = 6
"""How often the command waits for a backend that limits requests. Some allow three sign-ins in ten seconds."""
_MAX_WAIT_SECONDS = 60
"""If the backend asks for a longer wait, the command stops with the reason."""
_DEFAULT_WAIT_SECONDS = 10
"""The wait if the backend does not say how long."""


class StoppedError(Exception):
    """The command cannot continue. Its text says why, and what to do."""


@dataclass
class Connection:
    environ: dict[str, str]
    named_calls: dict[str, str]
    """Calls that the operator has named for this run."""
    learned_settings: dict[str, str] = field(default_factory=dict)
    """The settings that were learned so far, in the order in which they are printed."""
    configured_places: dict[str, str] = field(default_factory=dict)
    """The settings for where an answer has the user. They are kept if they fit an answer."""
    waits_left: int = _MAX_WAITS
    """How often it may still wait for a backend that limits requests."""

    @cached_property
    def http(self) -> HttpClient:
        settings = self.settings()
        return HttpClient(
            f"Munjigi-doctor/{__version__}",
            max_concurrency=1,
            proxy=settings.outbound_proxy,
            no_proxy=settings.outbound_no_proxy,
            client_cert=settings.backend_client_cert,
        )

    def settings(self, **changes: str) -> config.Settings:
        """The settings of the environment with what was learned and these changes; raises `config.SettingsError`."""
        environ = {**self.environ, **self.learned_settings, **changes}
        missing = {name: value for name, value in _NOT_NEEDED.items() if not has_setting(environ, name)}
        if environ.get("BACKEND") == "custom":
            missing |= {
                name: value
                for name, value in _NOT_LEARNED_YET.items()
                if not environ.get(name) and not environ.get(f"{name}_PATH")
            }
        return config.load({**environ, **missing})

    def client(self) -> BackendClient:
        return BackendClient(self.settings(), self.http, CLOCK)

    def probe(self, name: str, values: Mapping[str, str], **changes: str) -> Answer | None:
        """Make one call of the backend with these changes of the settings. None: it cannot be made, or has no answer.

        Raises `StoppedError` if the backend limits requests.
        """
        try:
            return self.call(name, values, self.settings(**changes))
        except (errors.SiteError, config.SettingsError):
            return None

    def call(self, name: str, values: Mapping[str, str], settings: config.Settings) -> Answer:
        """Make one call of the backend, and wait a little if it limits requests.

        Raises a `SiteError` without an answer, and `StoppedError` if the wait is too long.
        """
        while True:
            answer = BackendClient(settings, self.http, CLOCK).call(name, values, context(settings))
            if answer.status != 429:
                return answer
            place = f"{settings.backend.retry_after}|header:Retry-After|header:X-Retry-After"
            seconds = parse_retry_after(str(answer.get(place))) or _DEFAULT_WAIT_SECONDS
            if not self.waits_left or seconds > _MAX_WAIT_SECONDS:
                raise StoppedError(
                    f"The backend answers 429: it limits requests from here, for {seconds} seconds. Wait, and name the"
                    " calls with --login and --user, so that fewer requests are needed."
                )
            self.waits_left -= 1
            click.echo(f"  the backend limits requests: waiting {seconds} seconds")
            time.sleep(seconds)

    def describe_anew(self) -> None:
        """Drop the settings for the kind of backend and the places in its answers. Settings of calls are kept."""
        parts = {name: text for name, text in self.environ.items() if name in _CALL_PARTS and text}
        if self.environ.get("BACKEND") not in (None, "", "custom"):
            parts = _calls_in_full(parts)
        self.named_calls = _with_methods(parts) | self.named_calls
        self.configured_places = {name: text for name, text in self.environ.items() if name in _USER_PLACES and text}
        self.environ = {name: text for name, text in self.environ.items() if name not in _PARTS} | self.named_calls
        identifier = {name: text for name, text in self.learned_settings.items() if name == "LOGIN_IDENTIFIER"}
        self.learned_settings = {"BACKEND": "custom", **identifier}

    @property
    def block(self) -> dict[str, str]:
        """The settings to write: what was learned, and the calls that the operator has named."""
        return {
            **self.learned_settings,
            **{name: text for name, text in self.named_calls.items() if name not in self.learned_settings},
        }

    def superfluous(self, environ: Mapping[str, str]) -> list[str]:
        """The settings of this environment that have to be removed, because `block` has no value for them."""
        return sorted(name for name in _PARTS if environ.get(name) and name not in self.block)


def context(settings: config.Settings) -> RequestContext:
    deadline = Deadline(settings.backend_timeout, CLOCK)
    return RequestContext(client_ip=None, locale="en", request_id="doctor", deadline=deadline)


def missing_signatures(connection: Connection) -> set[object]:
    """The signatures of answers to calls that do not exist: some backends answer 401 to everything without a token."""
    paths = (f"/munjigi-{secrets.token_hex(4)}", f"/api/munjigi-{secrets.token_hex(4)}")
    answers = [connection.probe("login", {}, BACKEND_LOGIN=f"POST {path}", BACKEND_LOGIN_PATH="") for path in paths]
    if not any(answers):
        raise StoppedError(NO_ANSWER)
    return {signature(answer) for answer in answers if answer is not None}


def is_missing(answer: Answer) -> bool:
    """Whether there is no such call: the path is unknown, or it is a page for browsers."""
    return answer.status in (404, 405, 419, 501) or 300 <= answer.status < 400 or answer.response.is_html


def _calls_in_full(parts: dict[str, str]) -> dict[str, str]:
    """The calls with method and path, and their bodies, without settings that only change a call of another preset."""
    calls = [f"BACKEND_{call.upper()}" for call in CALLS if parts.get(f"BACKEND_{call.upper()}")]
    if "BACKEND_REFRESH_BODY" not in parts and "BACKEND_REFRESH_SEND" not in parts:
        calls = [call for call in calls if call != "BACKEND_REFRESH"]  # its body was that of the file
    names = [f"{call}{part}" for call in calls for part in ("", "_BODY", "_FORM", "_SEND")]
    return {name: parts[name] for name in names if name in parts and "{BACKEND_" not in parts[name]}


def _with_methods(parts: dict[str, str]) -> dict[str, str]:
    """The settings with `BACKEND_LOGIN=POST /path` in place of `BACKEND_LOGIN_PATH=/path`."""
    for call in CALLS:
        name, default = f"BACKEND_{call.upper()}", getattr(backends.find("custom"), call)
        if path := parts.pop(f"{name}_PATH", None):
            parts[name] = f"{default.method} {path}"
    return parts


def has_setting(environ: Mapping[str, str], name: str) -> bool:
    """Whether the environment has this setting, or the path of a file with its value."""
    return bool(environ.get(name) or environ.get(f"{name}_FILE"))
