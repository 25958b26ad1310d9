"""Apple: its callback is a POST, its client secret a JWT that is signed for each use. docs/providers/apple.md"""

import base64
import json
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

import settings_readers as read
from providers.base import Answers, Client, Identity, Need, Provider, at

_ISSUER = "https://appleid.apple.com"
_SECRET_SECONDS = 300


def _identity(answers: Answers) -> Identity:
    claims = answers.claims
    return Identity(
        subject=claims["sub"],
        name=_name(answers.form.get("user", "")),
        email=claims.get("email"),  # never the one beside it in the form, which nobody has signed
        email_verified=claims.get("email_verified") is True or claims.get("email_verified") == "true",
    )


def _name(text: str) -> str | None:
    """From the form of the first consent, and of that alone; whatever else comes is no name."""
    try:
        name = at(json.loads(text[:2000]), "name")
    except (ValueError, RecursionError):
        return None
    parts = [at(name, "lastName"), at(name, "firstName")]
    return "".join(part for part in parts if isinstance(part, str)) or None


def _private_key(text: str) -> str:
    """The key as PEM: given so, with `\\n` for its line ends, as base64 of it, or as the path of its file."""
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


def _check(client: Client) -> None:
    own = ("TEAM_ID", "KEY_ID", "PRIVATE_KEY")
    if not client.secret and not all(client.settings[name] for name in own):
        raise ValueError("needs TEAM_ID, KEY_ID and PRIVATE_KEY beside it, or a ready CLIENT_SECRET")


def _signed_secret(client: Client, now: int) -> str | None:
    if client.secret:
        return client.secret
    header = {"alg": "ES256", "kid": client.settings["KEY_ID"]}
    claims = {"iss": client.settings["TEAM_ID"], "sub": client.client_id, "aud": _ISSUER}
    key = ECKey.import_key(client.settings["PRIVATE_KEY"] or "")
    return jwt.encode(header, {**claims, "iat": now, "exp": now + _SECRET_SECONDS}, key, default_type=None)


provider = Provider(
    id="apple",
    label={"en": "Apple"},
    button={"en": "Sign in with Apple", "ja": "Appleでサインイン", "ko": "Apple로 로그인"},
    colours=("#000000", "#ffffff", "#868e89"),
    issuer=_ISSUER,
    other_issuers=("https://account.apple.com",),  # its discovery said so for some days of 2025
    authorize_url="https://appleid.apple.com/auth/authorize",
    token_url="https://appleid.apple.com/auth/token",
    keys_url="https://appleid.apple.com/auth/keys",
    openid=True,
    scope="openid name email",
    authorize_params={"response_mode": "form_post"},
    form_post=True,
    backend_token="id_token",
    identity=_identity,
    secret_required=False,
    needs={
        "TEAM_ID": Need(read.credential, "A1B2C3D4E5"),
        "KEY_ID": Need(read.credential, "F6G7H8I9J0"),
        "PRIVATE_KEY": Need(_private_key, "/etc/munjigi/AuthKey_F6G7H8I9J0.p8"),
    },
    check=_check,
    client_secret=_signed_secret,
)
