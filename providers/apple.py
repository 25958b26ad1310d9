"""Apple: OpenID Connect with a `form_post` callback and a signed JWT as client secret. docs/providers/apple.md"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

import settings_readers as read
from providers.base import (
    Identity,
    Notifications,
    Provider,
    ProviderEvent,
    ProviderResponses,
    Registration,
    dig,
    full_name,
)
from settings_readers import SettingSpec

_ISSUER = "https://appleid.apple.com"
_SECRET_SECONDS = 300
"""The lifetime of a client secret, which is made for each token request. Apple allows half a year."""

_TYPE_SPELLINGS = {"account-deleted": "account-delete"}
"""Apple's documentation has both."""


def _identity(responses: ProviderResponses) -> Identity:
    claims = responses.claims
    return Identity(
        subject=claims["sub"],
        name=_name(responses.form.get("user", "")),
        name_is_unsigned=True,
        email=claims.get("email"),  # not the email in the form: that is unsigned
        email_verified=claims.get("email_verified") is True or claims.get("email_verified") == "true",
    )


def _name(text: str) -> str | None:
    """Return the name in the form field `user`, which Apple sends only at the first consent; None if it has no name."""
    try:
        name = dig(json.loads(text), "name")
    except (ValueError, RecursionError):
        return None
    given, family = (part if isinstance(part, str) else "" for part in (dig(name, "firstName"), dig(name, "lastName")))
    return full_name({"given": given, "family": family}, "family") or None


def _event(claims: Mapping[str, Any]) -> ProviderEvent:
    """The event of a notification. `events` is a text: the JSON of a single event."""
    event = json.loads(claims["events"])
    return ProviderEvent(
        type=_TYPE_SPELLINGS.get(event["type"], event["type"]),
        subject=event["sub"],
        occurred_at=_seconds(event.get("event_time")),
        email=event.get("email"),
        is_private_email=_flag(event.get("is_private_email")),
    )


def _seconds(milliseconds: object) -> float | None:
    is_time = isinstance(milliseconds, int | float) and 0 < milliseconds < 2**53
    return milliseconds / 1000 if is_time else None  # type: ignore[operator]  # it is a number


def _flag(value: object) -> bool | None:
    """Apple writes flags as texts, or as booleans."""
    return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value))


def _private_key(text: str) -> str:
    """Return the key as PEM.

    `text` is PEM, PEM with `\\n` as line breaks, base64 of PEM, or the path of a .p8 or .pem file.
    """
    pem = text.replace("\\n", "\n")
    try:
        if pem.endswith((".p8", ".pem")):
            pem = Path(pem).read_text()
        elif "-----BEGIN" not in pem:
            pem = base64.b64decode(pem, validate=True).decode()
        key = ECKey.import_key(pem)
        if not key.is_private or key.curve_name != "P-256":
            raise ValueError
    except (OSError, ValueError, JoseError):
        raise ValueError("must be the .p8 key: as PEM, as PEM with \\n, as base64 of it, or as its path") from None
    return pem


def _validate(registration: Registration) -> None:
    names = ("TEAM_ID", "KEY_ID", "PRIVATE_KEY")
    if not registration.secret and not all(registration.settings[name] for name in names):
        raise ValueError("needs TEAM_ID, KEY_ID and PRIVATE_KEY beside it, or a ready CLIENT_SECRET")


def _client_secret(registration: Registration, now: int) -> str | None:
    """Return the CLIENT_SECRET of the settings, or else a JWT that is valid for five minutes from `now`."""
    if registration.secret:
        return registration.secret
    header = {"alg": "ES256", "kid": registration.settings["KEY_ID"]}
    claims = {"iss": registration.settings["TEAM_ID"], "sub": registration.client_id, "aud": _ISSUER}
    key = ECKey.import_key(registration.settings["PRIVATE_KEY"] or "")
    return jwt.encode(header, {**claims, "iat": now, "exp": now + _SECRET_SECONDS}, key, default_type=None)


_MARK = (
    '<path d="M12 7.6c-1 0-2.2-.9-3.8-.9C5.1 6.7 3 9.3 3 12.8c0 4.1 2.7 8.8 5.4 8.8 1.3 0 2.2-.9 3.6-.9s2.3.9 '
    '3.6.9c1.9 0 3.6-2.3 4.6-5-1.9-.8-3-2.5-3-4.4 0-1.7.9-3.2 2.4-4.1-1-1-2.3-1.4-3.7-1.4-1.6 0-2.9.9-3.9.9z" '
    'fill="currentColor"/>'
    '<path d="M15.7 1.4c.2 2.6-1.7 4.7-4 4.7-.2-2.5 1.7-4.6 4-4.7z" fill="currentColor"/>'
)

provider = Provider(
    id="apple",
    order=30,
    label={"en": "Apple"},
    button_text={
        "en": "Sign in with Apple",
        "de": "Mit Apple anmelden",
        "es": "Iniciar sesión con Apple",
        "fr": "Se connecter avec Apple",
        "ja": "Appleでサインイン",
        "ko": "Apple로 로그인",
        "vi": "Đăng nhập bằng Apple",
        "zh_Hans": "通过 Apple 登录",
        "zh_Hant": "透過 Apple 登入",
    },
    colors=("#000000", "#ffffff", "#868e89"),
    mark=_MARK,
    issuer=_ISSUER,
    other_issuers=("https://account.apple.com",),  # Apple's metadata named this issuer for some days in 2025
    authorize_url="https://appleid.apple.com/auth/authorize",
    token_url="https://appleid.apple.com/auth/token",
    keys_url="https://appleid.apple.com/auth/keys",
    is_oidc=True,
    scope="openid name email",
    authorize_params={"response_mode": "form_post"},
    form_post=True,
    backend_token="id_token",
    identity=_identity,
    secret_required=False,
    settings={
        "TEAM_ID": SettingSpec(
            read.credential,
            "A1B2C3D4E5",
            meaning="With the next two settings, the site signs a new client secret for each use. Without them,"
            " `APPLE_CLIENT_SECRET` is a JWT of your own, which is valid for six months at most.",
        ),
        "KEY_ID": SettingSpec(read.credential, "F6G7H8I9J0", meaning="The id of the private key."),
        "PRIVATE_KEY": SettingSpec(
            _private_key,
            "/etc/munjigi/AuthKey_F6G7H8I9J0.p8",
            secret=True,
            meaning="The path of the `.p8` file, its text (with `\\n` for line ends), or the text in base64.",
        ),
    },
    validate=_validate,
    client_secret=_client_secret,
    notifications=Notifications(
        token_field="payload",  # a name
        event=_event,
        types=frozenset({"consent-revoked", "account-delete", "email-disabled", "email-enabled"}),
        ending_types=frozenset({"consent-revoked", "account-delete"}),
    ),
)
