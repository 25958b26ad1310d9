"""The settings of the site: read from environment variables once, validated together, immutable.

`load(environ)` takes the environment as an argument, so that a test can pass a dict.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import limits
from joserfc.jwk import ECKey

import backends
import providers
import settings_readers as read
from backends import overrides, validation
from backends.base import Backend
from providers.base import Registration
from settings_readers import SettingSpec, UserClaim


class SettingsError(click.ClickException):
    """The settings are invalid. `problems` has one text for each invalid setting; none contains a secret.

    A `ClickException`, so that every `flask` command prints it without a traceback.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        many = "1 setting needs" if len(problems) == 1 else f"{len(problems)} settings need"
        super().__init__(f"Munjigi cannot start: {many} attention.\n\n" + "\n".join(problems))


_REQUIRED: Any = object()


def setting(
    reader: Callable[[str], Any],
    default: Any = _REQUIRED,
    *,
    example: str,
    secret: bool = False,
    may_be_empty: bool = False,
) -> Any:
    """Declare a field of `Settings` that `load` reads.

    A secret field is left out of `repr`, and can also be read from the file that `<NAME>_FILE` names. `may_be_empty`:
    an empty value is not the default.
    """
    metadata = {
        "reader": reader,
        "default": default,
        "example": example,
        "secret": secret,
        "may_be_empty": may_be_empty,
    }
    return field(metadata=metadata, repr=not secret)


MAX_ISSUER_NAME_LENGTH = 30
"""Characters of `<name>` in `PROVIDERS=oidc:<name>`. It is part of addresses, settings and log lines."""
_OTHER_SIGN_INS = ("credentials", "email", "passkey")
"""What sessions, logs and NextAuth's clients name sign-ins that need no provider."""
_OTHER_PREFIXES = ("FLASK_", "PYTHON_")


def _provider_names(text: str) -> tuple[str, ...]:
    """Return the names of providers as `providers.find` takes them: `<id>`, or `<id>:<name>`."""
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        provider_id, colon, issuer_name = name.partition(":")
        if provider_id not in providers.names():
            raise ValueError(f"must list some of {', '.join(providers.names())}; it has {name[:20]!r}")
        if colon:
            _check_issuer_name(provider_id, issuer_name)
    if len({name.rpartition(":")[2] for name in names}) < len(names):
        raise ValueError("must list each provider once, and each name once")
    return names


def _check_issuer_name(provider_id: str, name: str) -> None:
    """Raise `ValueError` if this cannot be the id of one of several issuers. Its settings start with the name."""
    entry = f"{provider_id}:{name[: MAX_ISSUER_NAME_LENGTH + 1]}"
    if not providers.find(provider_id).discovery:
        raise ValueError(f"must list {provider_id!r} without a name: {entry!r} is not possible")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > MAX_ISSUER_NAME_LENGTH:
        raise ValueError(
            f"must have a name of letters, digits and '_' after {provider_id}:, up to {MAX_ISSUER_NAME_LENGTH}"
            f" characters, that starts with a letter; it has {entry!r}"
        )
    if name in providers.names():
        raise ValueError(f"must have another name than {entry!r}: {name} is a provider of its own")
    if name in _OTHER_SIGN_INS:
        raise ValueError(f"must have another name than {entry!r}: {name} is another way to sign in")
    prefix = f"{name.upper()}_"
    others = [
        *(each.name.upper() for each in fields(Settings)),
        *overrides.SETTINGS,
        *(f"{each.upper()}_{part}" for each in providers.names() for part in providers.find(each).all_settings),
    ]
    if same := [other for other in (*others, *_OTHER_PREFIXES) if other.startswith(prefix)]:
        raise ValueError(
            f"must have another name than {entry!r}: its settings would start with {prefix}, as {same[0]} does"
        )


def _backend_id(text: str) -> str:
    return read.choice(*backends.names())(text.replace("_", "-"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The validated settings. Each field is named like its environment variable, in lower case."""

    site_url: str = setting(read.site_url, example="https://login.example.com")
    """The public URL of the site: scheme, host, port and optional path. Links, callback URLs and cookie prefixes are
    built from it, never from the `Host` header."""
    secret_key: str = setting(read.secret, secret=True, example="<the output of: openssl rand -base64 33>")
    """Encrypts sessions and signs cookies: at least 32 characters. To share sessions with a Next.js app, set it to the
    value of `NEXTAUTH_SECRET`."""
    secret_key_fallbacks: tuple[str, ...] = setting(read.secrets, (), secret=True, example="<the key before this one>")
    """Previous keys, comma-separated. They still decrypt sessions, but never encrypt."""

    backend_url: str = setting(read.base_url, example="https://api.example.com/api/v2")
    """The base URL of the backend's API."""
    backend: Backend = setting(_backend_id, "laravel", example="laravel")
    """Which file of `backends/` describes the backend: its calls, and what its answers mean."""
    backend_constants: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The settings that the templates of `backend` use, such as `BACKEND_API_KEY`, by name."""
    backend_show_messages: bool = setting(read.boolean, default=False, example="false")
    """`true` shows the backend's own sentence for a refused sign-in, up to 200 characters, instead of the site's. It
    may reveal which accounts exist."""
    backend_next_step_urls: tuple[str, ...] = setting(read.origins, (), example="https://verify.example.com")
    """The origins, comma-separated, of pages that the backend may send people to before it signs them in."""
    backend_timeout: float = setting(read.seconds, 10.0, example="10")
    """Seconds: the deadline that all backend calls of one request share."""
    backend_concurrency: int = setting(read.integer(1, 100000), 100, example="100")
    """The maximum number of concurrent calls of each process to the backend, and to each provider. Further calls
    queue."""
    backend_events_token: str | None = setting(
        read.secret, None, secret=True, example="<the output of: openssl rand -base64 33>"
    )
    """The bearer token with which the backend ends sessions at `/api/auth/sessions/revoke`, at least 32 characters. If
    unset, that address answers 404. The site sends it with the events of `BACKEND_PROVIDER_EVENT_PATH`."""
    backend_client_cert: Path | None = setting(read.client_cert, None, example="/etc/munjigi/client.pem")
    """A PEM file with a client certificate and its key, for a backend that requires mutual TLS."""
    login_identifier: str = setting(read.choice("email", "username", "phone", "any"), "email", example="username")
    """What people sign in with: `email`, `username`, `phone`, or `any` of these. The sign-in form asks for it, and the
    backend gets it in one spelling as `{identifier}`."""
    passkeys: bool = setting(read.boolean, default=False, example="true")
    """`true` lets people sign in with a passkey, and add one at `/account/passkeys`, if the backend has the calls."""
    outbound_proxy: str | None = setting(read.proxy_url, None, secret=True, example="http://proxy.example.com:3128")
    """An HTTP proxy for calls to the backend and to providers."""
    outbound_no_proxy: tuple[str, ...] = setting(
        read.host_names, ("localhost", "127.0.0.1", "::1"), example="localhost,api.internal"
    )
    """Hosts, comma-separated, that are called without the proxy, including their subdomains."""

    session_max_age: int = setting(read.integer(60, 315360000), 2592000, example="2592000")
    """Seconds without use after which a session expires (30 days, like NextAuth). Forward auth is use."""
    session_absolute_age: int = setting(read.integer(60, 315360000), 7776000, example="7776000")
    """Seconds after sign-in at which a session expires in any case (90 days)."""
    remember_me: bool = setting(read.boolean, default=False, example="true")
    """`true`: the sign-in form has a checkbox, "Stay signed in". Unless it is ticked, the session ends when the browser
    is closed, and after `SESSION_SHORT_AGE`."""
    session_short_age: int = setting(read.integer(60, 315360000), 43200, example="43200")
    """With `REMEMBER_ME`: seconds after sign-in at which a session without the tick expires (12 hours), used or not."""
    session_revalidate: int = setting(read.integer(0, 315360000), 300, example="300")
    """Seconds between two checks of the user at the backend. A 401 response ends the session. `0`: no checks."""
    user_claims: tuple[UserClaim, ...] = setting(read.user_claims, (), example="roles plan dept=department.name")
    """Further fields of the backend's user, separated by spaces: for the session JSON, the headers of forward auth and
    the signed assertion. `dept=department.name` takes the field `dept` from another place."""
    assertion_private_key: tuple[ECKey, ...] = setting(
        read.signing_keys, (), secret=True, example="<the output of: openssl ecparam -name prime256v1 -genkey -noout>"
    )
    """Forward auth answers with an assertion in `X-Auth-Assertion`, signed with this P-256 key in PEM. Public keys of
    the next and the previous key may follow it; `/.well-known/jwks.json` has all."""
    expose_access_token: bool = setting(read.boolean, default=False, example="false")
    """`true` adds `accessToken` to the session JSON, where every script on every page can read it."""
    forward_access_token: bool = setting(read.boolean, default=False, example="false")
    """`true`: `/auth/verify` answers with the access token too, as `Authorization: Bearer …`, for the proxy to pass on
    to an API."""

    providers: tuple[str, ...] = setting(_provider_names, (), example="oidc")
    """The enabled identity providers, comma-separated, in the order of their buttons. `oidc:<name>` is one of several
    OpenID Connect issuers: the provider `<name>`, with settings such as `<NAME>_ISSUER`."""
    registrations: tuple[Registration, ...] = ()
    """The site's registration at each of `providers`, in the same order."""

    redis_url: str | None = setting(read.redis_url, None, secret=True, example="redis://127.0.0.1:6379/0")
    """The Redis in which processes share login limits and revoked sessions: `redis://…`, `rediss://…` or
    `redis+cluster://…`. If unset, each process keeps its own."""
    login_limit_per_ip: limits.RateLimitItem = setting(read.rate, limits.parse("30/minute"), example="30/minute")
    """Sign-in attempts per client IP address (IPv6: per /64 network)."""
    login_limit_per_account_and_ip: limits.RateLimitItem = setting(
        read.rate, limits.parse("5/5minutes"), example="5/5minutes"
    )
    """Sign-in attempts per account and IP address; a successful one resets the count."""
    login_limit_per_account: limits.RateLimitItem = setting(read.rate, limits.parse("100/hour"), example="100/hour")
    """Sign-in attempts per account from all IP addresses. A browser that has signed in to the account before has a
    count of its own."""

    mail_limit_per_ip: limits.RateLimitItem = setting(read.rate, limits.parse("20/hour"), example="20/hour")
    """Forms per client IP address that may send an email: sign-up, forgotten password, verification."""
    mail_limit_per_account_and_ip: limits.RateLimitItem = setting(read.rate, limits.parse("5/hour"), example="5/hour")
    """The same per account and IP address, whether the account exists or not."""
    mail_limit_per_account: limits.RateLimitItem = setting(read.rate, limits.parse("20/hour"), example="20/hour")
    """The same per account from all IP addresses. A browser that has signed in to the account before has a count of its
    own."""

    proxy_hops: int = setting(read.integer(0, 10), 0, example="1")
    """The number of reverse proxies in front of the site whose `X-Forwarded-For` is trusted."""
    hsts: str = setting(read.hsts, "max-age=31536000", example="max-age=31536000", may_be_empty=True)
    """The `Strict-Transport-Security` header of an https site: browsers use only https for its host from then on.
    Empty: not sent. `includeSubDomains` extends it to all hosts below."""

    site_name: str = setting(read.single_line, "Munjigi", example="Hotel Haru")
    """The name of the site in titles and headings."""
    brand_color: str = setting(read.color, "#17624a", example="#17624a")
    """The color of the main button. Links and marks use it too, adjusted where its contrast is too low."""
    logo_url: str | None = setting(read.link, None, example="https://example.com/logo.svg")
    """An image that replaces the site's mark above the form."""
    sign_up_url: str | None = setting(read.link, None, example="https://example.com/join")
    """The target of the sign-up link. If unset, it is `/auth/register` if `BACKEND` has a call for it."""
    register_fields: tuple[read.RegisterField, ...] = setting(
        read.register_fields, (), example='company?="Company;ko=회사" terms:checkbox="I agree to the terms"'
    )
    """Further fields of the sign-up form, separated by spaces: the name in the body of the call, its kind (`:email`,
    `:tel`, `:date`, `:checkbox`), `?` if it may be left empty, and its label, with those in other languages behind
    `;`."""
    password_rules: Mapping[str, str] = setting(read.localized_text, {}, example="At least 10 characters;ko=10자 이상")
    """What a new password must be like. The forms say it; the backend enforces it. Other languages stand behind `;`."""
    reset_password_url: str | None = setting(read.link, None, example="https://example.com/password")
    """The target of the password reset link. If unset, it is `/auth/password/forgot` if `BACKEND` has a call for it."""
    languages: tuple[str, ...] = setting(read.language_list, (), example="ko,en,ja")
    """The languages that the site offers, in the order of its list. If unset: all that are in `translations/`."""
    default_locale: str = setting(read.language, "ko", example="ko")
    """The language for browsers that accept none of the site's languages: one of `LANGUAGES`."""
    templates_dir: Path | None = setting(read.folder, None, example="/etc/munjigi/templates")
    """A folder whose templates override those of the site; its subfolder `static` has further CSS and images."""

    host: str = setting(read.single_line, "127.0.0.1", example="127.0.0.1")
    """The address that `make serve` listens on."""
    port: int = setting(read.integer(1, 65535), 8000, example="8000")
    """The port that `make serve` listens on."""
    workers: int | None = setting(read.integer(1, 256), None, example="1")
    """The number of processes of `make serve`. If unset: one per core with `REDIS_URL`, else 1."""
    shutdown_delay: int = setting(read.integer(0, 300), 0, example="10")
    """Seconds between SIGTERM and the stop, during which `/health/ready` answers 503. Set it longer than the interval
    of the load balancer's health check."""
    metrics_token: str | None = setting(
        read.secret, None, secret=True, example="<the output of: openssl rand -base64 33>"
    )
    """The bearer token for `/metrics`, at least 32 characters. If unset, `/metrics` answers 404."""
    otel_exporter_otlp_endpoint: str | None = setting(read.base_url, None, example="http://127.0.0.1:4318")
    """Where spans are sent (OTLP over HTTP), if the packages of the extra `otel` are installed. If unset: no spans."""
    log_format: str = setting(read.choice("text", "json"), "text", example="json")
    """`text`, or `json` for one JSON object per line."""
    log_level: str = setting(read.choice("debug", "info", "warning", "error"), "info", example="info")
    """The lowest level to log: `debug`, `info`, `warning` or `error`."""

    @cached_property
    def origin(self) -> str:
        """Scheme, host and port of `site_url`, in the form of the `Origin` header (RFC 6454, 7)."""
        parts = urlsplit(self.site_url)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def site_path(self) -> str:
        """The path of `site_url`: empty, or for example `/login-site`."""
        return urlsplit(self.site_url).path

    @cached_property
    def secure(self) -> bool:
        """Whether `site_url` is https; cookies are then `Secure` and have a name prefix."""
        return self.site_url.startswith("https://")

    @cached_property
    def secret_keys(self) -> tuple[str, ...]:
        """All keys, newest first: the first one encrypts, the others only decrypt."""
        return (self.secret_key, *self.secret_key_fallbacks)

    @cached_property
    def signing_keys(self) -> list[str]:
        """All keys, oldest first, as itsdangerous expects them: it signs with the last one."""
        return [*reversed(self.secret_keys)]

    def registration(self, provider_id: str | None) -> Registration | None:
        """The site's registration at the provider with this id; None if the provider is not enabled."""
        return next((each for each in self.registrations if each.id == provider_id), None)


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from these variables. Raises `SettingsError` with all problems at once."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for setting_field in fields(Settings):
        if metadata := setting_field.metadata:
            spec = SettingSpec(**metadata)
            values[setting_field.name] = _read(environ, setting_field.name.upper(), spec, problems)
    values |= _read_backend(environ, values["backend"] or "laravel", problems, has_passkeys=bool(values["passkeys"]))
    registrations = [_read_registration(environ, name, problems) for name in values["providers"] or ()]
    if values["languages"] and values["default_locale"] not in (None, *values["languages"]):
        problems.append(_problem("DEFAULT_LOCALE", "must be one of LANGUAGES", values["languages"][0]))
    problems += _shared_backend_names(registrations)
    if problems:
        raise SettingsError(problems)
    return Settings(**values, registrations=tuple(registrations))


def _read_backend(environ: Mapping[str, str], name: str, problems: list[str], *, has_passkeys: bool) -> dict[str, Any]:
    """Read the settings of the backend with this id. Adds to `problems`, like `_read_registration`."""
    problems_before = len(problems)
    backend = backends.find(name)
    values = {part: _read(environ, part, spec, problems) for part, spec in overrides.SETTINGS.items()}
    faults = overrides.contradictions(backend, values)
    backend = overrides.override(backend, values)
    if len(problems) == problems_before:
        faults += validation.problems(backend)
    problems += [_problem(setting, message, overrides.SETTINGS[setting].example) for setting, message in faults]
    if has_passkeys and "passkey" not in backend.calls:
        message = f"needs BACKEND_PASSKEY and BACKEND_PASSKEY_OPTIONS: the backend {backend.id} has no such calls"
        problems.append(_problem("PASSKEYS", message, "false"))
    if not has_passkeys:
        if values["BACKEND_PASSKEY"] and values["BACKEND_PASSKEY"].method:
            problems.append(_problem("BACKEND_PASSKEY", "needs PASSKEYS=true", ""))
        backend = overrides.without_passkeys(backend)
    constants = {
        setting: _read(environ, setting, overrides.constant(backend, setting), problems)
        for setting in validation.setting_names(backend)
    }
    return {
        "backend": backend,
        "backend_constants": {setting: value for setting, value in constants.items() if value is not None},
    }


def _read_registration(environ: Mapping[str, str], name: str, problems: list[str]) -> Registration:
    """Read the settings of one provider. Adds to `problems`; the result is of use only if nothing was added."""
    provider = providers.find(name)
    prefix = provider.id.upper()
    problems_before = len(problems)
    values = {
        suffix: _read(environ, f"{prefix}_{suffix}", spec, problems) for suffix, spec in provider.all_settings.items()
    }
    registration = Registration(provider.with_response_mode(values.get("RESPONSE_MODE")), values)
    if len(problems) == problems_before:
        try:
            provider.validate(registration)
        except ValueError as error:
            problems.append(f"  {prefix}_CLIENT_ID {error}")
    return registration


def _shared_backend_names(registrations: list[Registration]) -> list[str]:
    """Return a problem for each provider that the backend could not tell from another: people have ids there."""
    by_name: dict[str, str] = {}
    return [
        _problem(
            f"{each.id.upper()}_BACKEND_NAME",
            f"must not be that of {by_name[each.backend_name]}: the backend would take their users for the same people",
            each.id,
        )
        for each in registrations
        if by_name.setdefault(each.backend_name, each.id) != each.id
    ]


def _read(environ: Mapping[str, str], name: str, spec: SettingSpec, problems: list[str]) -> Any:
    """Read one variable. If it is invalid or missing, adds to `problems` and returns None."""
    try:
        text = _text(environ, name, spec)
        if text:
            return spec.reader(text)
        if spec.may_be_empty and name in environ:
            return ""
        if spec.required or spec.default is _REQUIRED:
            raise ValueError("is required")
    except ValueError as error:
        problems.append(_problem(name, str(error), spec.example))
        return None
    return spec.default


def _text(environ: Mapping[str, str], name: str, spec: SettingSpec) -> str:
    """The text of a setting; empty if it is unset. That of a secret may be in the file that `<NAME>_FILE` names."""
    text, path = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip() if spec.secret else ""
    if not path:
        return text
    if text:
        raise ValueError(f"must be unset if {name}_FILE is set")
    try:
        text = Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):
        raise ValueError(f"cannot be read: {name}_FILE must be a file that can be opened") from None
    if not text:
        raise ValueError(f"cannot be read: the file of {name}_FILE is empty")
    return text


def _problem(name: str, message: str, example: str) -> str:
    return f"  {name} {message}\n      for example: {name}={example}"
