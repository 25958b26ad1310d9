"""The settings: read from the environment once, checked as a whole, frozen.

The environment is given in (`load(environ)`), so a test passes a dict and nothing reads it twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import limits

import providers
import settings_readers as read
from providers.base import Client, Need


class SettingsError(Exception):
    """The site cannot start. `problems`: one line a setting, all of them, no secret in any."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        many = "1 setting needs" if len(problems) == 1 else f"{len(problems)} settings need"
        super().__init__(f"Munjigi cannot start: {many} attention.\n\n" + "\n".join(problems))


_REQUIRED: Any = object()


def setting(reader: Callable[[str], Any], default: Any = _REQUIRED, *, example: str, secret: bool = False) -> Any:
    """A field of `Settings` that `load` can read; a secret one is left out of its `repr`."""
    metadata = {"reader": reader, "default": default, "example": example}
    return field(metadata=metadata, repr=not secret)


def _provider_ids(text: str) -> tuple[str, ...]:
    ids = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if unknown := [name for name in ids if name not in providers.names()]:
        raise ValueError(f"must list some of {', '.join(providers.names())}; it has {unknown[0][:20]!r}")
    if len(set(ids)) < len(ids):
        raise ValueError("must list each provider once")
    return ids


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator decided. A field is named as its setting, in lower case."""

    site_url: str = setting(read.base_url, example="https://login.example.com")
    """Where people reach the site: scheme, host, port and optional path. The only source of links,
    callback addresses and cookie prefixes; the `Host` header is never one."""
    secret_key: str = setting(read.secret, secret=True, example="<the output of: openssl rand -base64 33>")
    """Encrypts sessions and signs cookies: at least 32 characters. The same as `NEXTAUTH_SECRET` of a Next.js app that
    shall read the sessions."""
    secret_key_fallbacks: tuple[str, ...] = setting(read.secrets, (), secret=True, example="<the key before this one>")
    """Older keys, comma separated: they still decrypt, and never encrypt."""

    backend_url: str = setting(read.base_url, example="https://api.example.com/api/v2")
    """Base of the API of the backend that owns the users."""
    backend_login_path: str = setting(read.api_path, "/login", example="/login")
    """POST `{email, password}` gives the backend's token."""
    backend_social_path: str = setting(
        read.api_path, "/login/social/callback/{provider}", example="/login/social/callback/{provider}"
    )
    """POST `{social_token}` gives the backend's token; `{provider}` becomes `<ID>_BACKEND_NAME`."""
    backend_user_path: str = setting(read.api_path, "/user", example="/user")
    """POST with the token as bearer gives the user."""
    backend_logout_path: str | None = setting(read.api_path, None, example="/logout")
    """POST with the bearer revokes the token on sign-out. Without it a token outlives its session."""
    backend_profile_path: str | None = setting(read.api_path, None, example="/profile")
    """PATCH `{name, nick_name}` with the bearer saves them. Without it the account page only shows."""
    backend_timeout: float = setting(read.seconds, 10.0, example="10")
    """Seconds: one deadline for all backend calls of one request."""
    backend_concurrency: int = setting(read.whole(1, 100000), 100, example="100")
    """Calls that each process makes to the backend at a time, and to each provider; further ones queue."""
    backend_client_cert: Path | None = setting(read.client_cert, None, example="/etc/munjigi/client.pem")
    """A PEM file with a client certificate and its key, for a backend that asks for one (mutual TLS)."""
    outbound_proxy: str | None = setting(read.proxy_url, None, secret=True, example="http://proxy.example.com:3128")
    """An HTTP proxy through which the site calls the backend and providers."""
    outbound_no_proxy: tuple[str, ...] = setting(
        read.host_names, ("localhost", "127.0.0.1", "::1"), example="localhost,api.internal"
    )
    """Hosts, comma separated, with all names below them, that are called without the proxy."""

    session_max_age: int = setting(read.whole(60, 315360000), 2592000, example="2592000")
    """Seconds without a visit after which a session ends (30 days, as NextAuth)."""
    session_absolute_age: int = setting(read.whole(60, 315360000), 7776000, example="7776000")
    """Seconds after sign-in after which a session ends whatever happens (90 days)."""
    session_revalidate: int = setting(read.whole(0, 315360000), 300, example="300")
    """Seconds after which the user is read from the backend again; 401 ends the session; 0: never."""
    expose_access_token: bool = setting(read.flag, default=False, example="false")
    """`true`: the session JSON carries `accessToken`, so that every script of every page can read it."""

    providers: tuple[str, ...] = setting(_provider_ids, (), example="oidc")
    """Whom people may sign in with, comma separated, in the order of the buttons."""
    clients: tuple[Client, ...] = ()
    """This site at each of them."""

    redis_url: str | None = setting(read.redis_url, None, secret=True, example="redis://127.0.0.1:6379/0")
    """Where processes share limits and revoked sessions: `redis://…`, `rediss://…` or `redis+cluster://…`. Without it
    each process has its own."""
    login_limit_per_ip: limits.RateLimitItem = setting(read.rate, limits.parse("30/minute"), example="30/minute")
    """Sign-ins tried per client address (IPv6: per /64)."""
    login_limit_per_account_and_ip: limits.RateLimitItem = setting(
        read.rate, limits.parse("5/5minutes"), example="5/5minutes"
    )
    """Sign-ins tried per account and address; a success gives them back."""
    login_limit_per_account: limits.RateLimitItem = setting(read.rate, limits.parse("100/hour"), example="100/hour")
    """Sign-ins tried per account from everywhere; a browser that has signed in to it before is counted apart."""

    proxy_hops: int = setting(read.whole(0, 10), 0, example="1")
    """How many proxies in front are trusted for the visitor's address."""

    site_name: str = setting(read.words, "Munjigi", example="Hotel Haru")
    """The name in titles and headings."""
    brand_color: str = setting(read.colour, "#17624a", example="#17624a")
    """Colour of the main button, and of links and marks as far as it can be read there."""
    logo_url: str | None = setting(read.link, None, example="https://example.com/logo.svg")
    """A picture above the form instead of the site's own mark."""
    sign_up_url: str | None = setting(read.link, None, example="https://example.com/join")
    """Where to become a member: a link that is shown if it is set."""
    reset_password_url: str | None = setting(read.link, None, example="https://example.com/password")
    """Where to get a new password: a link that is shown if it is set."""
    default_locale: str = setting(read.language, "ko", example="ko")
    """Language for browsers that ask for none of ours: `en`, or one of `translations/`."""
    templates_dir: Path | None = setting(read.folder, None, example="/etc/munjigi/templates")
    """A folder of one's own whose templates go before the site's, with `static` in it for rules and pictures."""

    host: str = setting(read.words, "127.0.0.1", example="127.0.0.1")
    """`make serve` listens on this address."""
    port: int = setting(read.whole(1, 65535), 8000, example="8000")
    """`make serve` listens on this port."""
    workers: int | None = setting(read.whole(1, 256), None, example="1")
    """Processes of `make serve`. Unset: 1 without `REDIS_URL`, else one per core."""
    shutdown_delay: int = setting(read.whole(0, 300), 0, example="10")
    """Seconds between SIGTERM and the stop, in which `/health/ready` says 503: longer than a balancer's interval."""
    metrics_token: str | None = setting(
        read.secret, None, secret=True, example="<the output of: openssl rand -base64 33>"
    )
    """What Prometheus sends as bearer for `/metrics`, at least 32 characters; without it there is no such page."""
    log_format: str = setting(read.one_of("text", "json"), "text", example="json")
    """`text`, or `json`: one line an event."""
    log_level: str = setting(read.one_of("debug", "info", "warning", "error"), "info", example="info")
    """`debug`, `info`, `warning` or `error`."""

    @cached_property
    def origin(self) -> str:
        """Scheme, host and port of the site, as a browser's `Origin` header has it."""
        parts = urlsplit(self.site_url)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def site_path(self) -> str:
        """The path under which the site lives: empty, or `/login-site`."""
        return urlsplit(self.site_url).path

    @cached_property
    def secure(self) -> bool:
        """Whether people come over https: cookies are then `Secure` and prefixed."""
        return self.site_url.startswith("https://")

    @cached_property
    def secret_keys(self) -> tuple[str, ...]:
        """The key that encrypts, then those that only decrypt."""
        return (self.secret_key, *self.secret_key_fallbacks)

    @cached_property
    def signing_keys(self) -> list[str]:
        """The same for itsdangerous, which signs with the last."""
        return [*reversed(self.secret_keys)]


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that these variables describe; raises `SettingsError` with every problem at once."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for one in fields(Settings):
        if one.metadata:
            need = Need(one.metadata["reader"], one.metadata["example"], one.metadata["default"])
            values[one.name] = _value(environ, one.name.upper(), need, problems)
    found = (_client(environ, name, problems) for name in values["providers"] or ())
    clients = tuple(client for client in found if client)
    if problems:
        raise SettingsError(problems)
    return Settings(**values, clients=clients)


def _client(environ: Mapping[str, str], name: str, problems: list[str]) -> Client | None:
    provider = providers.find(name)
    known = len(problems)
    values = {
        part: _value(environ, f"{name.upper()}_{part}", need, problems) for part, need in provider.all_settings.items()
    }
    client = Client(provider, values)
    try:
        if len(problems) == known:
            provider.check(client)
            return client
    except ValueError as error:
        problems.append(f"  {name.upper()}_CLIENT_ID {error}")
    return None


def _value(environ: Mapping[str, str], name: str, need: Need, problems: list[str]) -> Any:
    text = environ.get(name, "").strip()
    try:
        if text:
            return need.read(text)
        if need.required or need.default is _REQUIRED:
            raise ValueError("is required")
    except ValueError as error:
        problems.append(f"  {name} {error}\n      for example: {name}={need.example}")
        return None
    return need.default
