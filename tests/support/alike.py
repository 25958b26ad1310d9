"""A script of requests for any site with the NextAuth v4 protocol, and the normalized responses to compare.

In a normalized response `<site>` replaces the origin, `<token>` and `<id>` replace random values, and times are days
from now. URLs are absolute with a sorted query, cookie attributes are sorted, and bodies of redirects are ignored.
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
Action = Callable[[Visitor], requests.Response]


def get(path: str, **kwargs: Any) -> Action:
    """GET, as a link and as `fetchData` of next-auth send it. `<site>` in the path is the origin of the site."""
    return lambda visitor: visitor.get(API + path.replace("<site>", visitor.url), **kwargs)


def post_form(path: str, **fields: str) -> Action:
    """POST a form as `signIn()` and `signOut()` do, with a valid CSRF token unless `fields` has another."""

    def send(visitor: Visitor) -> requests.Response:
        form = {name: value.replace("<site>", visitor.url) for name, value in fields.items()}
        return visitor.post(API + path, data={"csrfToken": visitor.csrf_token(), "json": "true", **form})

    return send


def post_json(path: str, body: Any, *, token: bool = True) -> Action:
    """POST JSON, as `update()` does."""

    def send(visitor: Visitor) -> requests.Response:
        return visitor.post(API + path, json={**({"csrfToken": visitor.csrf_token()} if token else {}), **body})

    return send


def post_raw(path: str, body: str, kind: str, *, method: str = "POST") -> Action:
    return lambda visitor: visitor.request(method, API + path, data=body, headers={"Content-Type": kind})


def send_method(method: str, path: str) -> Action:
    return lambda visitor: visitor.request(method, API + path)


def post_without_cookies(path: str, **fields: str) -> Action:
    """POST a CSRF token without its cookie."""

    def send(visitor: Visitor) -> requests.Response:
        token = visitor.csrf_token()
        visitor.cookies.clear()
        return visitor.post(API + path, data={"csrfToken": token, "json": "true", **fields})

    return send


def cancel_at_provider(path: str) -> Action:
    """Start a sign-in, then send the callback of a user who cancels at the provider."""

    def send(visitor: Visitor) -> requests.Response:
        response = post_form(f"signin/{path}", callbackUrl="/me")(visitor)
        state = dict(parse_qsl(urlsplit(response.json()["url"]).query))["state"]
        return visitor.get(f"{API}callback/{path}?error=access_denied&state={state}")

    return send


def update(*data: Any) -> Action:
    return post_json("session", {"data": data[0]} if data else {})


def sign_in(word: str = PASSWORD, **fields: str) -> Action:
    return post_form("callback/email", email=MINJI, password=word, redirect="false", **fields)


FORM = "application/x-www-form-urlencoded"
NO_JSON = {"json": "false"}
WRONG_CSRF_TOKEN = {"csrfToken": "f" * 64}

SCRIPT: list[dict[str, Action]] = [
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
        "wrong password": sign_in("wrong", callbackUrl="/me"),
        "wrong password, no json": sign_in("wrong", callbackUrl="/me", **NO_JSON),
        "no password": post_form("callback/email", email=MINJI, callbackUrl="/me"),
        "backend down": post_form("callback/email", email="down@example.com", password=PASSWORD, callbackUrl="/me"),
        "bad token, sign-in": sign_in(callbackUrl="/me", **WRONG_CSRF_TOKEN),
        "bad token, sign-in, no json": sign_in(callbackUrl="/me", **WRONG_CSRF_TOKEN, **NO_JSON),
        "bad token, start": post_form("signin/github", callbackUrl="/me", **WRONG_CSRF_TOKEN),
        "bad token, sign-out": post_form("signout", callbackUrl="/me", **WRONG_CSRF_TOKEN),
        "bad token, sign-out, no json": post_form("signout", callbackUrl="/me", **WRONG_CSRF_TOKEN, **NO_JSON),
        "bad token, update": post_json("session", {"csrfToken": "f" * 64}, token=False),
        "no token, update": post_json("session", {}, token=False),
        "token of another visitor": post_without_cookies(
            "callback/email", email=MINJI, password=PASSWORD, callbackUrl="/me"
        ),
        "token in the address": post_raw(
            "callback/email?csrfToken=x", f"email={MINJI}&json=true&callbackUrl=/me", FORM
        ),
        "session after refusals": get("session"),
    },
    {
        "right password": sign_in(callbackUrl="/me"),
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
        "update by a form": post_form("session"),
        "session after all updates": get("session"),
        "sign-in page, signed in": get("signin?callbackUrl=/me"),
        "sign-out page, signed in": get("signout"),
        "right password, signed in": sign_in(callbackUrl="/me"),
        "bad token, update, signed in": post_json("session", {"csrfToken": "f" * 64}, token=False),
        "sign-out": post_form("signout", callbackUrl="/bye"),
        "session after signing out": get("session"),
        "sign-out of nobody": post_form("signout", callbackUrl="/bye"),
        "update of nobody": update({"name": "x"}),
    },
    {
        "right password, no json": sign_in(callbackUrl="<site>/me?a=1", **NO_JSON),
        "sign-out, no json": post_form("signout", callbackUrl="<site>/bye", **NO_JSON),
    },
    {"right password, foreign": sign_in(callbackUrl="https://evil.example/me")},
    {"right password, nowhere": sign_in()},
    {"right password, word": sign_in(callbackUrl="me")},
    {
        "right password, JSON": post_json(
            "callback/email", {"email": MINJI, "password": PASSWORD, "callbackUrl": "/me", "json": "true"}
        ),
        "session, JSON": get("session"),
        "sign-out, JSON": post_json("signout", {"callbackUrl": "/bye", "json": "true"}),
        "session after signing out, JSON": get("session"),
        "wrong password, JSON": post_json(
            "callback/email", {"email": MINJI, "password": "wrong", "callbackUrl": "/me", "json": "true"}
        ),
        "wrong password, JSON, json is true": post_json(
            "callback/email", {"email": MINJI, "password": "wrong", "callbackUrl": "/me", "json": True}
        ),
        "no token, JSON": post_json(
            "callback/email", {"email": MINJI, "callbackUrl": "/me", "json": "true"}, token=False
        ),
        "start, JSON": post_json("signin/github", {"callbackUrl": "/me", "json": "true"}),
    },
    {
        "start": post_form("signin/github", callbackUrl="/me"),
        "start, no json": post_form("signin/github", callbackUrl="/me", **NO_JSON),
        "start, more parameters": post_form(
            "signin/github?login_hint=minji&client_id=x&redirect_uri=y", callbackUrl="/me"
        ),
        "start of a password": post_form("signin/email", callbackUrl="/me"),
        "start of nobody": post_form("signin/nobody", callbackUrl="/me"),
        "start of none": post_form("signin", callbackUrl="/me"),
        "callback of nobody": get("callback/nobody?code=x"),
        "callback of a password, GET": get("callback/email?email=x"),
        "callback without a start": get("callback/github?code=x&state=y"),
        "callback, cancelled": cancel_at_provider("github"),
    },
    {
        "two callbackUrls": get("signin?callbackUrl=/me&callbackUrl=/you"),
        "memory, kept": get("signin?callbackUrl=/me"),
        "memory, asked": post_form("signout"),
    },
    {
        "garbage for a session": get("session", headers={"Cookie": "next-auth.session-token=garbage"}),
        "a chunk for a session": get("session", headers={"Cookie": "next-auth.session-token.0=garbage"}),
        "a bearer for a session": get("session", headers={"Authorization": "Bearer garbage"}),
        "report": post_raw("_log", "level=error&code=CLIENT_FETCH_ERROR&client=true", FORM),
        "report of nothing": post_raw("_log", "", FORM),
        "report, unknown level": post_raw("_log", "level=constructor&code=x", FORM),
        "no action": get(""),
        "unknown action": get("nothing"),
        "unknown action, POST": post_form("nothing"),
        "csrf by POST": post_form("csrf"),
        "providers by POST": post_form("providers"),
        "error by POST": post_form("error"),
        "report by GET": get("_log"),
        "PUT": send_method("PUT", "session"),
        "DELETE": send_method("DELETE", "session"),
        "PATCH": send_method("PATCH", "session"),
        "OPTIONS": send_method("OPTIONS", "session"),
        "HEAD": send_method("HEAD", "csrf"),
        "broken JSON": post_raw("session", '{"csrfToken":', "application/json"),
        "a list for an object": post_raw("session", "[]", "application/json"),
        "text": post_raw("session", "csrfToken=x", "text/plain"),
    },
]


def run_script(site_url: str) -> dict[str, list[str]]:
    """Return the normalized response to each request, by its name. Each part of `SCRIPT` has its own visitor."""
    responses: dict[str, list[str]] = {}
    for part in SCRIPT:
        visitor = Visitor(site_url, {"Accept": "*/*", "Origin": site_url, "Sec-Fetch-Site": "same-origin"})
        responses |= {name: _describe(action(visitor), site_url) for name, action in part.items()}
    return responses


def _describe(response: requests.Response, site_url: str) -> list[str]:
    """Return the status and body, the `Cache-Control` header and each cookie."""
    cache_control = f"Cache-Control: {response.headers.get('Cache-Control', 'nothing')}"
    return [_describe_response(response, site_url), cache_control, *map(_describe_cookie, set_cookies(response))]


def _describe_response(response: requests.Response, site_url: str) -> str:
    location = response.headers.get("Location")
    if location is not None:
        return f"{response.status_code} to {normalize(urljoin(site_url, location), site_url)}"
    content_type = response.headers.get("Content-Type", "").partition(";")[0]
    if content_type == "application/json" and response.content:
        return f"{response.status_code} {to_json_line(response.json(), site_url)}"
    body = "a page" if content_type == "text/html" and response.content else response.text
    return f"{response.status_code} {body}".rstrip()


def to_json_line(value: object, site_url: str) -> str:
    return json.dumps(normalize(value, site_url), ensure_ascii=False, separators=(",", ":"))


def normalize(value: Any, site_url: str, name: str = "") -> Any:
    """Replace what differs between sites and between runs. `name` is the JSON member or parameter of the value."""
    if isinstance(value, dict):
        return {key: normalize(member, site_url, key) for key, member in value.items()}
    if name == "expires":
        return _days_from_now(datetime.fromisoformat(value))
    if name in _VARIABLE_FIELDS:
        return _VARIABLE_FIELDS[name]
    return _normalize_url(value, site_url) if isinstance(value, str) and "://" in value else value


_VARIABLE_FIELDS = {
    "csrfToken": "<token>",
    "state": "<token>",
    "code_challenge": "<token>",
    "requestId": "<id>",
    "reference": "<id>",
}


def _normalize_url(url: str, site_url: str) -> str:
    base, separator, raw_query = url.replace(site_url, "<site>").partition("?")
    query = [(name, normalize(value, site_url, name)) for name, value in parse_qsl(raw_query, keep_blank_values=True)]
    return base + separator + "&".join(f"{name}={value}" for name, value in sorted(query))


def _describe_cookie(line: str) -> str:
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    name = re.sub(r"attempt\.\S+", "attempt.<id>", name)
    values = dict(attribute.lower().partition("=")[::2] for attribute in attributes)
    expires = values.pop("expires", "")
    values |= {"expires": _days_from_now(parsedate_to_datetime(expires))} if expires else {}
    flags = [f"{flag}={text}" if text else flag for flag, text in sorted(values.items())]
    return f"Set-Cookie: {name}{f' ({chr(32).join(flags)})' if value else ' is gone'}"


def _days_from_now(moment: datetime) -> str:
    return f"{round((moment - datetime.now(UTC)).total_seconds() / 86400, 2):g}d"


CLIENT_CALLS = {
    "getSession()": "client.getSession()",
    "getProviders()": "client.getProviders()",
    "getCsrfToken()": "client.getCsrfToken().then(csrfToken => ({csrfToken}))",
    "signIn(), wrong password": "signIn({password: 'wrong'})",
    "signIn(), no path": "signIn({password: 'wrong', callbackUrl: 'me'})",
    "signIn(), backend down": "signIn({email: 'down@example.com'})",
    "signIn(), bad token": "withBadCsrfToken(() => signIn({}))",
    "signIn()": "signIn({})",
    "getSession(), signed in": "client.getSession()",
    "update(name)": "update({nick_name: '새이름'})",
    "update()": "update()",
    "update(name), back": "update({nick_name: '민지'})",
    "update(other)": "update({id: 2, email: 'admin@example.com'})",
    "update(name), bad token": "withBadCsrfToken(() => update({nick_name: '새이름'}))",
    "getSession(), at last": "client.getSession()",
    "signOut(), bad token": "withBadCsrfToken(() => client.signOut({redirect: false, callbackUrl: '/bye'}))",
    "signOut()": "client.signOut({redirect: false, callbackUrl: '/bye'})",
    "signOut(), foreign": "client.signOut({redirect: false, callbackUrl: 'https://evil.example/'})",
    "getSession(), signed out": "client.getSession()",
    "signIn(), path": "signIn({callbackUrl: '/me'})",
    "signIn(), foreign": "signIn({callbackUrl: 'https://evil.example/'})",
}
"""Calls of next-auth/react, in this order; their return values are compared."""

CLIENT_NAVIGATIONS = {
    "nobody in particular": "client.signIn()",
    "a wrong password": "client.signIn('email', {email: 'minji@example.com', password: 'wrong'})",
    "the right one": "client.signIn('email', {email: 'minji@example.com', password, callbackUrl: '/me'})",
    "signing out": "client.signOut({callbackUrl: '/bye'})",
    "a provider": "client.signIn('github')",
}
"""Calls of next-auth/react that navigate; the final URLs are compared."""

_HELPERS = """password => {
    window.password = password
    window.signIn = options => client.signIn(
        "email", {email: "minji@example.com", password, callbackUrl: "/front", redirect: false, ...options})
    window.settle = call => call().catch(error => ({threw: error.name}))
    window.withBadCsrfToken = async act => {
        const {fetch} = window
        window.fetch = (url, options) => String(url).endsWith("/csrf")
            ? Promise.resolve(Response.json({csrfToken: "f".repeat(64)})) : fetch(url, options)
        return await act().finally(() => { window.fetch = fetch })
    }
}"""


def run_client_script(context: BrowserContext, site_url: str) -> dict[str, list[str]]:
    """Run the calls of next-auth/react in a page at `/front` of the site. Return the results by name.

    Requests to other origins are answered in the browser.
    """
    context.route(lambda url: not url.startswith(site_url), lambda route: route.fulfill(body="elsewhere"))
    page = context.new_page()
    _open_front_end(page, site_url)
    results = {
        name: [to_json_line(page.evaluate(f"settle(() => {call})"), site_url)] for name, call in CLIENT_CALLS.items()
    }
    context.clear_cookies()
    for name, call in CLIENT_NAVIGATIONS.items():
        _open_front_end(page, site_url)
        with page.expect_navigation(url=lambda url: "/api/auth/" not in url):
            page.evaluate(f"() => {{ {call} }}")
        results[name] = [f"at {normalize(page.url, site_url)}"]
    return results


def _open_front_end(page: Page, site_url: str) -> None:
    page.goto(f"{site_url}/front")
    page.wait_for_function("() => document.querySelector('#who')?.textContent.match('authenticated')")
    page.evaluate(_HELPERS, PASSWORD)
