"""Verify provider tokens: first that the token was issued to one of our apps, then which user it belongs to.

Every app with a "Sign in with" button holds tokens of its users. If the backend accepted any valid token, the operator
of another app could sign in here as those users.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

KAKAO = os.environ.get("KAKAO_API", "https://kapi.kakao.com")
GOOGLE = os.environ.get("GOOGLE_API", "https://oauth2.googleapis.com")
GOOGLE_USER = os.environ.get("GOOGLE_USER_API", "https://openidconnect.googleapis.com")
GITHUB = os.environ.get("GITHUB_API", "https://api.github.com")


class ForeignTokenError(Exception):
    """The token is invalid, or it was issued to another app."""


@dataclass(frozen=True)
class Person:
    subject: str
    email: str | None
    """Set only if the provider has verified it."""
    name: str | None


def kakao(token: str) -> Person:
    check_app("KAKAO_APPS", call("GET", f"{KAKAO}/v1/user/access_token_info", token).get("app_id"))
    me = call("GET", f"{KAKAO}/v2/user/me", token)
    account = me.get("kakao_account") or {}
    is_verified = account.get("is_email_valid") is True and account.get("is_email_verified") is True
    nickname = (account.get("profile") or {}).get("nickname")
    return Person(str(me["id"]), account.get("email") if is_verified else None, nickname)


def google(token: str) -> Person:
    check_app("GOOGLE_APPS", call("GET", f"{GOOGLE}/tokeninfo", params={"access_token": token}).get("aud"))
    me = call("GET", f"{GOOGLE_USER}/v1/userinfo", token)
    return Person(me["sub"], me.get("email") if me.get("email_verified") is True else None, me.get("name"))


def github(token: str) -> Person:
    """GitHub checks a token only for the app that it was issued to, authenticated with client id and secret.

    `GITHUB_APPS=id:secret,id:secret`
    """
    for app in filter(None, os.environ.get("GITHUB_APPS", "").split(",")):
        name, _, secret = app.partition(":")
        try:
            url = f"{GITHUB}/applications/{name}/token"
            me = call("POST", url, json={"access_token": token}, auth=(name, secret))["user"]
        except ForeignTokenError:
            continue
        return Person(str(me["id"]), None, me.get("login"))
    raise ForeignTokenError("github")


PROOFS: dict[str, Callable[[str], Person]] = {"kakao": kakao, "google": google, "github": github}
"""Each raises `ForeignTokenError`, or `requests.RequestException` if the provider fails."""


def call(method: str, url: str, token: str | None = None, **options: Any) -> Any:
    """Call the provider's API and return the JSON. Raises `ForeignTokenError` for 4xx responses."""
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    response = requests.request(method, url, headers=headers, timeout=3, **options)
    if 400 <= response.status_code < 500:
        raise ForeignTokenError(url)
    response.raise_for_status()
    return response.json()


def check_app(setting: str, app: object) -> None:
    """Raise `ForeignTokenError` unless this setting lists the app."""
    if str(app) not in filter(None, os.environ.get(setting, "").split(",")):
        raise ForeignTokenError(f"issued to {app}")
