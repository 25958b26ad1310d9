"""Microsoft Entra and personal Microsoft accounts: OpenID Connect, with a tenant in the issuer.

docs/providers/microsoft.md
"""

import re
from collections.abc import Mapping
from typing import Any

import settings_readers as read
from providers.base import Example, Identity, Provider, ProviderResponses, Registration
from settings_readers import SettingSpec

_TENANT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PERSONAL_ACCOUNTS = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of all personal Microsoft accounts."""


def _tenant(text: str) -> str:
    tenant = text.lower()
    if tenant not in ("common", "organizations", "consumers") and not _TENANT_ID.fullmatch(tenant):
        raise ValueError("must be the tenant's id (a GUID), common, organizations or consumers")
    return tenant


def _issuer(registration: Registration, claims: Mapping[str, Any]) -> str | None:
    """Return the issuer of the tenant in `tid`, if `MICROSOFT_TENANT` includes it."""
    tenant, tid = registration.settings["TENANT"], claims.get("tid")
    if not isinstance(tid, str) or not _TENANT_ID.fullmatch(tid):
        return None
    is_personal = tid == _PERSONAL_ACCOUNTS
    is_allowed = {"common": True, "organizations": not is_personal, "consumers": is_personal}.get(
        tenant or "", tid == tenant
    )
    return f"https://login.microsoftonline.com/{tid}/v2.0" if is_allowed else None


def _identity(responses: ProviderResponses) -> Identity:
    claims = responses.claims
    return Identity(
        subject=claims["sub"],
        name=claims.get("name"),
        # An administrator of any tenant can write any address here. xms_edov, an optional claim, says that the tenant
        # has proven that it owns the domain.
        email=claims.get("email"),
        email_verified=claims.get("xms_edov") in (True, "true", "1"),
    )


_CLAIMS = {
    "iss": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
    "tid": "11111111-2222-3333-4444-555555555555",
    "oid": "66666666-7777-8888-9999-000000000000",
    "sub": "AAAAAAAAAAAAAAAAAAAAAHaneul",
    "name": "김하늘",
    "preferred_username": "haneul.kim@example.com",
    "ver": "2.0",
}
_PERSONAL = {"tid": _PERSONAL_ACCOUNTS, "iss": f"https://login.microsoftonline.com/{_PERSONAL_ACCOUNTS}/v2.0"}

provider = Provider(
    id="microsoft",
    label={"en": "Microsoft"},
    button_text={"en": "Sign in with Microsoft", "ja": "Microsoft でサインイン", "ko": "Microsoft로 로그인"},
    colors=("#ffffff", "#5e5e5e", "#8c8c8c"),
    mark='<path d="M2 2h9.5v9.5H2z" fill="#f25022"/><path d="M12.5 2H22v9.5h-9.5z" fill="#7fba00"/>'
    '<path d="M2 12.5h9.5V22H2z" fill="#00a4ef"/><path d="M12.5 12.5H22V22h-9.5z" fill="#ffb900"/>',
    issuer_of=_issuer,
    authorize_url="https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize",
    token_url="https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
    keys_url="https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
    logout_url="https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/logout",
    is_oidc=True,
    scope="openid profile email",
    optional_params={
        "prompt": read.choice("login", "select_account", "consent"),
        "domain_hint": read.header_value,
    },
    reauthenticate_params={"prompt": "login"},
    backend_token="id_token",  # its access token is for Microsoft Graph: nobody else can check whom it was issued to
    settings={
        "TENANT": SettingSpec(
            _tenant,
            "common",
            default="common",
            meaning="Who can sign in: a tenant's ID, `common` (all accounts), `organizations` or `consumers`.",
        ),
    },
    identity=_identity,
    examples=(
        Example(
            "a work account",
            Identity(subject=_CLAIMS["sub"], name="김하늘", email="haneul.kim@example.com"),
            claims={**_CLAIMS, "email": "haneul.kim@example.com"},
        ),
        Example(
            "no mailbox: no email claim",
            Identity(subject=_CLAIMS["sub"], name="김하늘"),
            claims=_CLAIMS,
        ),
        Example(
            "an address of a domain that the tenant has proven (xms_edov)",
            Identity(subject=_CLAIMS["sub"], name="김하늘", email="haneul.kim@example.com", email_verified=True),
            claims={**_CLAIMS, "email": "haneul.kim@example.com", "xms_edov": True},
        ),
        Example(
            "a personal account",
            Identity(subject="AAAAAAAAAAAAAAAAAAAAAPersonal", name="이바다", email="bada@example.com"),
            claims={
                **_CLAIMS,
                **_PERSONAL,
                "sub": "AAAAAAAAAAAAAAAAAAAAAPersonal",
                "name": "이바다",
                "email": "bada@example.com",
            },
        ),
        Example("the issuer of another tenant than in tid", None, claims={**_CLAIMS, "tid": _PERSONAL_ACCOUNTS}),
        Example("no tid", None, claims={name: value for name, value in _CLAIMS.items() if name != "tid"}),
    ),
)
