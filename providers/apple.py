"""Apple: OpenID Connect with a `form_post` callback and a signed JWT as client secret. docs/providers/apple.md"""

import base64
import json
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

import settings_readers as read
from providers.base import Identity, Provider, ProviderResponses, Registration, dig
from settings_readers import SettingSpec

_ISSUER = "https://appleid.apple.com"
_SECRET_SECONDS = 300
"""The lifetime of a client secret, which is made for each token request. Apple allows half a year."""


def _identity(responses: ProviderResponses) -> Identity:
    claims = responses.claims
    return Identity(
        subject=claims["sub"],
        name=_name(responses.form.get("user", "")),
        email=claims.get("email"),  # not the email in the form: that is unsigned
        email_verified=claims.get("email_verified") is True or claims.get("email_verified") == "true",
    )


def _name(text: str) -> str | None:
    """Return the name in the form field `user`, which Apple sends only at the first consent; None if it has no name."""
    try:
        name = dig(json.loads(text), "name")
    except (ValueError, RecursionError):
        return None
    parts = [dig(name, "lastName"), dig(name, "firstName")]
    return "".join(part for part in parts if isinstance(part, str)) or None


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


provider = Provider(
    id="apple",
    label={"en": "Apple"},
    button_text={"en": "Sign in with Apple", "ja": "Appleでサインイン", "ko": "Apple로 로그인"},
    colors=("#000000", "#ffffff", "#868e89"),
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
        "TEAM_ID": SettingSpec(read.credential, "A1B2C3D4E5"),
        "KEY_ID": SettingSpec(read.credential, "F6G7H8I9J0"),
        "PRIVATE_KEY": SettingSpec(_private_key, "/etc/munjigi/AuthKey_F6G7H8I9J0.p8", secret=True),
    },
    validate=_validate,
    client_secret=_client_secret,
)
