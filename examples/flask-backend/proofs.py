"""Whom a provider's token stands for, and whether it was given to us: asked of the provider, in this order.

Anybody who runs an app with a "Sign in with" button holds tokens of the people there. If any working token were good
enough, they could sign in here as those people.
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
    """The provider does not take the token, or it was given to somebody else's app."""


@dataclass(frozen=True)
class Person:
    subject: str
    email: str | None
    """Verified by the provider, or none."""
    name: str | None


def kakao(token: str) -> Person:
    ours("KAKAO_APPS", ask("GET", f"{KAKAO}/v1/user/access_token_info", token).get("app_id"))
    me = ask("GET", f"{KAKAO}/v2/user/me", token)
    account = me.get("kakao_account") or {}
    sound = account.get("is_email_valid") is True and account.get("is_email_verified") is True
    nickname = (account.get("profile") or {}).get("nickname")
    return Person(str(me["id"]), account.get("email") if sound else None, nickname)


def google(token: str) -> Person:
    ours("GOOGLE_APPS", ask("GET", f"{GOOGLE}/tokeninfo", params={"access_token": token}).get("aud"))
    me = ask("GET", f"{GOOGLE_USER}/v1/userinfo", token)
    return Person(me["sub"], me.get("email") if me.get("email_verified") is True else None, me.get("name"))


def github(token: str) -> Person:
    """It tells an app of its own tokens only, and wants its secret: `GITHUB_APPS=id:secret,id:secret`."""
    for app in filter(None, os.environ.get("GITHUB_APPS", "").split(",")):
        name, _, secret = app.partition(":")
        try:
            url = f"{GITHUB}/applications/{name}/token"
            me = ask("POST", url, json={"access_token": token}, auth=(name, secret))["user"]
        except ForeignTokenError:
            continue
        return Person(str(me["id"]), None, me.get("login"))
    raise ForeignTokenError("github")


PROOFS: dict[str, Callable[[str], Person]] = {"kakao": kakao, "google": google, "github": github}
"""Each raises `ForeignTokenError`, or `requests.RequestException` if the provider does not answer."""


def ask(method: str, url: str, token: str | None = None, **given: Any) -> Any:
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    answer = requests.request(method, url, headers=headers, timeout=3, **given)
    if 400 <= answer.status_code < 500:
        raise ForeignTokenError(url)
    answer.raise_for_status()
    return answer.json()


def ours(setting: str, app: object) -> None:
    if str(app) not in filter(None, os.environ.get(setting, "").split(",")):
        raise ForeignTokenError(f"given to {app}")
