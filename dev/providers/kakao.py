"""Kakao: OAuth 2.0 with PKCE, numeric ids, and an account object in which every level is optional."""

from collections.abc import Mapping
from typing import Any

from flask import Response

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Failure, Json, Persona, Provider

_ME = "/v2/user/me"


def _profile(person: Person) -> Json:
    pictures = {
        "thumbnail_image_url": "http://k.kakaocdn.net/dn/a/img_110x110.jpg",
        "profile_image_url": "http://k.kakaocdn.net/dn/a/img_640x640.jpg",
    }
    profile = {"nickname": person.nickname, "is_default_image": not person.picture, "is_default_nickname": False}
    return profile | (pictures if person.picture else {})


def _kakao_account(person: Person, **quirks: Any) -> Json:
    account: Json = {
        "profile_nickname_needs_agreement": False,
        "profile_image_needs_agreement": False,
        "profile": _profile(person),
        "has_email": person.email is not None,
        "email_needs_agreement": False,
    }
    if person.email:
        account |= {"is_email_valid": True, "is_email_verified": person.email_verified, "email": person.email}
    return account | quirks


def _persona(key: str, description: str, person: Person, account: Json | None, *, properties: bool = True) -> Persona:
    number = 4012345678 + Person(key, description).number
    me: Json = {"id": number, "connected_at": "2026-11-23T01:02:03Z"}
    if properties:
        me["properties"] = {"nickname": person.nickname, "profile_image": "http://k.kakaocdn.net/dn/a/img_640x640.jpg"}
    if account is not None:
        me["kakao_account"] = account
    claims = {"nickname": person.nickname, "email": person.email, "picture": person.picture}
    claims = {name: value for name, value in claims.items() if value is not None}
    return Persona(key, description, str(number), claims, {_ME: me})


_DECLINED = {"email_needs_agreement": True, "has_email": True}

_PERSONAS = (
    *(_persona(person.key, person.description, person, _kakao_account(person)) for person in PERSONS),
    _persona("declined", "declined all consent items", HANEUL, _DECLINED, properties=False),
    _persona(
        "expired-email",
        "e-mail address now belongs to another account",
        HANEUL,
        _kakao_account(HANEUL, is_email_valid=False),
    ),
    _persona("no-properties", "no `properties` in the response", HANEUL, _kakao_account(HANEUL), properties=False),
    _persona("bare", "only the id", HANEUL, None, properties=False),
)


def _validate_request(params: Mapping[str, str]) -> str | None:
    if "openid" in params.get("scope", "").replace(",", " ").split():
        return "KOE205: scope `openid` requires OpenID Connect, which is disabled for this app in the console"
    return None


def _account(me: Json) -> Account:
    account = me.get("kakao_account") or {}
    is_verified = account.get("is_email_valid") and account.get("is_email_verified")
    nickname = (account.get("profile") or {}).get("nickname")
    return Account(str(me["id"]), nickname, nickname, account.get("email") if is_verified else None)


def _error(status: int, error: str, description: str, code: str) -> tuple[int, Json]:
    return status, {"error": error, "error_description": description, "error_code": code}


provider = Provider(
    id="kakao",
    name="Kakao",
    client_id="0123456789abcdef0123456789abcdef",
    personas=_PERSONAS,
    authorization_path="/oauth/authorize",
    token_path="/oauth/token",
    logout_path="/oauth/logout",
    logout_redirect_param="logout_redirect_uri",
    account=_account,
    jwks_url="https://kauth.kakao.com/.well-known/jwks.json",
    user_urls=("https://kapi.kakao.com/v2/user/me",),
    issuer="https://kauth.kakao.com",
    id_token="never",
    scopes={},
    validate_request=_validate_request,
    has_separate_sign_in_host=True,
    no_page_error={"error": "consent_required", "error_description": "user consent required."},
    cancel_error={"error": "access_denied", "error_description": "User denied access"},
    token_response=lambda scopes: {
        "token_type": "bearer",
        "expires_in": 21599,
        "refresh_token": "r4T5-made-up",
        "refresh_token_expires_in": 5183999,
        "scope": " ".join(scopes) or "account_email profile_image profile_nickname",
    },
    json_content_type="application/json;charset=UTF-8",
    errors={
        "invalid_client": _error(401, "invalid_client", "Bad client credentials", "KOE010"),
        "invalid_grant": _error(400, "invalid_grant", "authorization code not found", "KOE320"),
        "redirect_uri_mismatch": _error(400, "invalid_grant", "Redirect URI mismatch.", "KOE303"),
        "unsupported_grant_type": _error(400, "unsupported_grant_type", "Bad grant type", "KOE310"),
        "invalid_token": (401, {"msg": "this access token does not exist", "code": -401}),
    },
    failures={
        "oidc_on": Failure("an id_token although none was requested (OIDC enabled)", "token", sends_id_token=True),
        "rate_limited": Failure(
            "token endpoint: rate limited (KOE237)",
            "token",
            respond=lambda: Response(
                '{"error":"invalid_request","error_description":"rate limited","error_code":"KOE237"}',
                429,
                mimetype="application/json",
            ),
        ),
    },
)
