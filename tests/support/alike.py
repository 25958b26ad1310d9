"""One script of exchanges for any site that speaks NextAuth v4's protocol, and its answers in words of no site.

`<site>` stands for the origin, `<token>` and `<id>` for what no two answers have in common, moments are days from now.
Addresses are whole and their query is in one order, so are a cookie's attributes; the body of a redirect is nobody's.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests
from playwright.sync_api import BrowserContext, Page

from dev.backend import PASSWORD
from tests.support.site import MINJI, Visitor, set_cookies

API = "/api/auth/"
Act = Callable[[Visitor], requests.Response]


def get(path: str, **kwargs: Any) -> Act:
    """As a link, or as `fetchData` asks. `<site>` in the path is the site's own origin."""
    return lambda visitor: visitor.get(API + path.replace("<site>", visitor.url), **kwargs)


def form(path: str, **fields: str) -> Act:
    """As `signIn()` and `signOut()` send it, their token with it unless another one is given."""

    def send(visitor: Visitor) -> requests.Response:
        given = {name: value.replace("<site>", visitor.url) for name, value in fields.items()}
        return visitor.post(API + path, data={"csrfToken": visitor.csrf(), "json": "true", **given})

    return send


def sent(path: str, body: Any, *, token: bool = True) -> Act:
    """As `update()` sends it, and other programs."""

    def send(visitor: Visitor) -> requests.Response:
        return visitor.post(API + path, json={**({"csrfToken": visitor.csrf()} if token else {}), **body})

    return send


def raw(path: str, body: str, kind: str, *, method: str = "POST") -> Act:
    return lambda visitor: visitor.request(method, API + path, data=body, headers={"Content-Type": kind})


def by(method: str, path: str) -> Act:
    return lambda visitor: visitor.request(method, API + path)


def no_cookies(path: str, **fields: str) -> Act:
    """A token without the cookie that it belongs to."""

    def send(visitor: Visitor) -> requests.Response:
        token = visitor.csrf()
        visitor.cookies.clear()
        return visitor.post(API + path, data={"csrfToken": token, "json": "true", **fields})

    return send


def cancelled(path: str) -> Act:
    """A start, and what the provider sends back when the person has pressed "Cancel"."""

    def send(visitor: Visitor) -> requests.Response:
        started = form(f"signin/{path}", callbackUrl="/me")(visitor)
        state = dict(parse_qsl(urlsplit(started.json()["url"]).query))["state"]
        return visitor.get(f"{API}callback/{path}?error=access_denied&state={state}")

    return send


def update(*data: Any) -> Act:
    return sent("session", {"data": data[0]} if data else {})


def password(word: str = PASSWORD, **fields: str) -> Act:
    return form("callback/email", email=MINJI, password=word, redirect="false", **fields)


FORM = "application/x-www-form-urlencoded"
NO_JSON = {"json": "false"}
BAD = {"csrfToken": "f" * 64}

SCRIPT: list[dict[str, Act]] = [
    {
        "csrf": get("csrf"),
        "csrf, again": get("csrf"),
        "providers": get("providers"),
        "session of nobody": get("session"),
        "sign-in page": get("signin"),
        "sign-in page, path": get("signin?callbackUrl=/me"),
        "sign-in page, address": get("signin?callbackUrl=<site>/me?a=1%26b=2%23c"),
        "sign-in page, foreign": get("signin?callbackUrl=https://evil.example/me"),
        "sign-in page, two slashes": get("signin?callbackUrl=//evil.example/me"),
        "sign-in page, script": get("signin?callbackUrl=javascript:alert(1)"),
        "sign-in page, word": get("signin?callbackUrl=me"),
        "sign-in page, error": get("signin?callbackUrl=/me&error=SessionRequired"),
        "sign-in page, unknown error": get("signin?callbackUrl=/me&error=<b>"),
        "sign-in page, provider": get("signin/github?callbackUrl=/me"),
        "sign-out page": get("signout"),
        "sign-out page, path": get("signout?callbackUrl=/me"),
        "error page, OAuthSignin": get("error?error=OAuthSignin"),
        "error page, CredentialsSignin": get("error?error=CredentialsSignin"),
        "error page, AccessDenied": get("error?error=AccessDenied"),
        "error page, Configuration": get("error?error=Configuration"),
        "error page, Verification": get("error?error=Verification"),
        "error page, a sentence": get("error?error=<b>No</b>"),
        "error page, nothing": get("error"),
        "page of magic links": get("verify-request"),
        "error page, in the path": get("error/AccessDenied"),
    },
    {
        "wrong password": password("wrong", callbackUrl="/me"),
        "wrong password, no json": password("wrong", callbackUrl="/me", **NO_JSON),
        "no password": form("callback/email", email=MINJI, callbackUrl="/me"),
        "backend down": form("callback/email", email="down@example.com", password=PASSWORD, callbackUrl="/me"),
        "bad token, sign-in": password(callbackUrl="/me", **BAD),
        "bad token, sign-in, no json": password(callbackUrl="/me", **BAD, **NO_JSON),
        "bad token, start": form("signin/github", callbackUrl="/me", **BAD),
        "bad token, sign-out": form("signout", callbackUrl="/me", **BAD),
        "bad token, sign-out, no json": form("signout", callbackUrl="/me", **BAD, **NO_JSON),
        "bad token, update": sent("session", {"csrfToken": "f" * 64}, token=False),
        "no token, update": sent("session", {}, token=False),
        "token of another visitor": no_cookies("callback/email", email=MINJI, password=PASSWORD, callbackUrl="/me"),
        "token in the address": raw("callback/email?csrfToken=x", f"email={MINJI}&json=true&callbackUrl=/me", FORM),
        "session after refusals": get("session"),
    },
    {
        "right password": password(callbackUrl="/me"),
        "session": get("session"),
        "update of a name": update({"nick_name": "새이름"}),
        "session after an update": get("session"),
        "update without data": update(),
        "update back": update({"nick_name": "민지"}),
        "update of null": update(None),
        "update of everything": update({"id": 1, "email": "admin@example.com", "role": "admin"}),
        "update of more than a name": update({"name": "김민지", "user": {"id": 1}}),
        "update of a list": update(["name"]),
        "update of a name that is none": update({"name": {"$ne": 1}}),
        "update by a form": form("session"),
        "session after all updates": get("session"),
        "sign-in page, signed in": get("signin?callbackUrl=/me"),
        "sign-out page, signed in": get("signout"),
        "right password, signed in": password(callbackUrl="/me"),
        "bad token, update, signed in": sent("session", {"csrfToken": "f" * 64}, token=False),
        "sign-out": form("signout", callbackUrl="/bye"),
        "session after signing out": get("session"),
        "sign-out of nobody": form("signout", callbackUrl="/bye"),
        "update of nobody": update({"name": "x"}),
    },
    {
        "right password, no json": password(callbackUrl="<site>/me?a=1", **NO_JSON),
        "sign-out, no json": form("signout", callbackUrl="<site>/bye", **NO_JSON),
    },
    {"right password, foreign": password(callbackUrl="https://evil.example/me")},
    {"right password, nowhere": password()},
    {"right password, word": password(callbackUrl="me")},
    {
        "right password, JSON": sent(
            "callback/email", {"email": MINJI, "password": PASSWORD, "callbackUrl": "/me", "json": "true"}
        ),
        "session, JSON": get("session"),
        "sign-out, JSON": sent("signout", {"callbackUrl": "/bye", "json": "true"}),
        "session after signing out, JSON": get("session"),
        "wrong password, JSON": sent(
            "callback/email", {"email": MINJI, "password": "wrong", "callbackUrl": "/me", "json": "true"}
        ),
        "wrong password, JSON, json is true": sent(
            "callback/email", {"email": MINJI, "password": "wrong", "callbackUrl": "/me", "json": True}
        ),
        "no token, JSON": sent("callback/email", {"email": MINJI, "callbackUrl": "/me", "json": "true"}, token=False),
        "start, JSON": sent("signin/github", {"callbackUrl": "/me", "json": "true"}),
    },
    {
        "start": form("signin/github", callbackUrl="/me"),
        "start, no json": form("signin/github", callbackUrl="/me", **NO_JSON),
        "start, more parameters": form("signin/github?login_hint=minji&client_id=x&redirect_uri=y", callbackUrl="/me"),
        "start of a password": form("signin/email", callbackUrl="/me"),
        "start of nobody": form("signin/nobody", callbackUrl="/me"),
        "start of none": form("signin", callbackUrl="/me"),
        "callback of nobody": get("callback/nobody?code=x"),
        "callback of a password, GET": get("callback/email?email=x"),
        "callback without a start": get("callback/github?code=x&state=y"),
        "callback, cancelled": cancelled("github"),
    },
    {
        "two callbackUrls": get("signin?callbackUrl=/me&callbackUrl=/you"),
        "memory, kept": get("signin?callbackUrl=/me"),
        "memory, asked": form("signout"),
    },
    {
        "garbage for a session": get("session", headers={"Cookie": "next-auth.session-token=garbage"}),
        "a chunk for a session": get("session", headers={"Cookie": "next-auth.session-token.0=garbage"}),
        "a bearer for a session": get("session", headers={"Authorization": "Bearer garbage"}),
        "report": raw("_log", "level=error&code=CLIENT_FETCH_ERROR&client=true", FORM),
        "report of nothing": raw("_log", "", FORM),
        "report, unknown level": raw("_log", "level=constructor&code=x", FORM),
        "no action": get(""),
        "unknown action": get("nothing"),
        "unknown action, POST": form("nothing"),
        "csrf by POST": form("csrf"),
        "providers by POST": form("providers"),
        "error by POST": form("error"),
        "report by GET": get("_log"),
        "PUT": by("PUT", "session"),
        "DELETE": by("DELETE", "session"),
        "PATCH": by("PATCH", "session"),
        "OPTIONS": by("OPTIONS", "session"),
        "HEAD": by("HEAD", "csrf"),
        "broken JSON": raw("session", '{"csrfToken":', "application/json"),
        "a list for an object": raw("session", "[]", "application/json"),
        "text": raw("session", "csrfToken=x", "text/plain"),
    },
]


def play(site_url: str) -> dict[str, list[str]]:
    """Name of each exchange -> what was answered. Each scene has a visitor of its own."""
    found: dict[str, list[str]] = {}
    for scene in SCRIPT:
        visitor = Visitor(site_url, {"Accept": "*/*", "Origin": site_url, "Sec-Fetch-Site": "same-origin"})
        found |= {name: _told(act(visitor), site_url) for name, act in scene.items()}
    return found


def _told(response: requests.Response, site_url: str) -> list[str]:
    """The answer, how long it may be kept, and each cookie."""
    kept = f"Cache-Control: {response.headers.get('Cache-Control', 'nothing')}"
    return [_answer(response, site_url), kept, *map(_cookie, set_cookies(response))]


def _answer(response: requests.Response, site_url: str) -> str:
    where = response.headers.get("Location")
    if where is not None:
        return f"{response.status_code} to {neutral(urljoin(site_url, where), site_url)}"
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if kind == "application/json" and response.content:
        return f"{response.status_code} {in_a_line(response.json(), site_url)}"
    return f"{response.status_code} {'a page' if kind == 'text/html' and response.content else response.text}".rstrip()


def in_a_line(value: object, site_url: str) -> str:
    return json.dumps(neutral(value, site_url), ensure_ascii=False, separators=(",", ":"))


def neutral(value: Any, site_url: str, name: str = "") -> Any:
    """The value without what belongs to one site or to one moment. `name`: of the member or parameter that it is."""
    if isinstance(value, dict):
        return {key: neutral(one, site_url, key) for key, one in value.items()}
    if name == "expires":
        return _in_days(datetime.fromisoformat(value))
    if name in _CHANGING:
        return _CHANGING[name]
    return _address(value, site_url) if isinstance(value, str) and "://" in value else value


_CHANGING = {
    "csrfToken": "<token>",
    "state": "<token>",
    "code_challenge": "<token>",
    "requestId": "<id>",
    "reference": "<id>",
}


def _address(url: str, site_url: str) -> str:
    before, mark, rest = url.replace(site_url, "<site>").partition("?")
    query = [(name, neutral(value, site_url, name)) for name, value in parse_qsl(rest, keep_blank_values=True)]
    return before + mark + "&".join(f"{name}={value}" for name, value in sorted(query))


def _cookie(line: str) -> str:
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    name = re.sub(r"attempt\.\S+", "attempt.<id>", name)
    given = dict(one.lower().partition("=")[::2] for one in attributes)
    expires = given.pop("expires", "")
    given |= {"expires": _in_days(parsedate_to_datetime(expires))} if expires else {}
    flags = [f"{flag}={text}" if text else flag for flag, text in sorted(given.items())]
    return f"Set-Cookie: {name}{f' ({chr(32).join(flags)})' if value else ' is gone'}"


def _in_days(moment: datetime) -> str:
    return f"{round((moment - datetime.now(UTC)).total_seconds() / 86400, 2):g}d"


CLIENT = {
    "getSession()": "client.getSession()",
    "getProviders()": "client.getProviders()",
    "getCsrfToken()": "client.getCsrfToken().then(csrfToken => ({csrfToken}))",
    "signIn(), wrong password": "signIn({password: 'wrong'})",
    "signIn(), no path": "signIn({password: 'wrong', callbackUrl: 'me'})",
    "signIn(), backend down": "signIn({email: 'down@example.com'})",
    "signIn(), bad token": "withABadToken(() => signIn({}))",
    "signIn()": "signIn({})",
    "getSession(), signed in": "client.getSession()",
    "update(name)": "update({nick_name: '새이름'})",
    "update()": "update()",
    "update(name), back": "update({nick_name: '민지'})",
    "update(other)": "update({id: 2, email: 'admin@example.com'})",
    "update(name), bad token": "withABadToken(() => update({nick_name: '새이름'}))",
    "getSession(), at last": "client.getSession()",
    "signOut(), bad token": "withABadToken(() => client.signOut({redirect: false, callbackUrl: '/bye'}))",
    "signOut()": "client.signOut({redirect: false, callbackUrl: '/bye'})",
    "signOut(), foreign": "client.signOut({redirect: false, callbackUrl: 'https://evil.example/'})",
    "getSession(), signed out": "client.getSession()",
    "signIn(), path": "signIn({callbackUrl: '/me'})",
    "signIn(), foreign": "signIn({callbackUrl: 'https://evil.example/'})",
}
"""What is asked of the client, one after the other, and what it returns."""

JOURNEYS = {
    "nobody in particular": "client.signIn()",
    "a wrong password": "client.signIn('email', {email: 'minji@example.com', password: 'wrong'})",
    "the right one": "client.signIn('email', {email: 'minji@example.com', password, callbackUrl: '/me'})",
    "signing out": "client.signOut({callbackUrl: '/bye'})",
    "a provider": "client.signIn('github')",
}
"""And where the browser is in the end when it is left to the client to go there."""

_HELPERS = """password => {
    window.password = password
    window.signIn = options => client.signIn(
        "email", {email: "minji@example.com", password, callbackUrl: "/front", redirect: false, ...options})
    window.told = call => call().catch(error => ({threw: error.name}))
    window.withABadToken = async act => {
        const {fetch} = window
        window.fetch = (url, options) => String(url).endsWith("/csrf")
            ? Promise.resolve(Response.json({csrfToken: "f".repeat(64)})) : fetch(url, options)
        return await act().finally(() => { window.fetch = fetch })
    }
}"""


def play_client(context: BrowserContext, site_url: str) -> dict[str, list[str]]:
    """The same with the client: its front end lies at `/front`, and nothing is anywhere but at the site."""
    context.route(lambda url: not url.startswith(site_url), lambda route: route.fulfill(body="elsewhere"))
    page = context.new_page()
    _open(page, site_url)
    found = {name: [in_a_line(page.evaluate(f"told(() => {call})"), site_url)] for name, call in CLIENT.items()}
    context.clear_cookies()
    for name, call in JOURNEYS.items():
        _open(page, site_url)
        with page.expect_navigation(url=lambda url: "/api/auth/" not in url):
            page.evaluate(f"() => {{ {call} }}")
        found[name] = [f"at {neutral(page.url, site_url)}"]
    return found


def _open(page: Page, site_url: str) -> None:
    page.goto(f"{site_url}/front")
    page.wait_for_function("() => document.querySelector('#who')?.textContent.match('authenticated')")
    page.evaluate(_HELPERS, PASSWORD)
