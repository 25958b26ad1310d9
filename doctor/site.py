"""Checks that the site is reachable at SITE_URL, and that the reverse proxy passes its cookies unchanged."""

import re
from collections.abc import Iterator

import config
from doctor.finding import ERROR, OK, WARNING, Finding
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse
from services.sessions.cookie import CHUNK_SIZE, MAX_CHUNKS

TIMEOUT_SECONDS = 5.0
"""For a page of this site, through the proxy. It calls nothing else."""
_JSON = {"Accept": "application/json"}


def check(settings: config.Settings, http_client: HttpClient, cookies: tuple[str, str]) -> Iterator[Finding]:
    """`cookies`: the names of the session cookie and of the visitor cookie."""
    session_cookie, visitor_cookie = cookies

    def send(method: str, path: str, headers: dict[str, str], form: dict[str, str] | None = None) -> UpstreamResponse:
        return http_client.send(method, settings.site_url + path, headers, form=form, within=TIMEOUT_SECONDS)

    def get(path: str, **headers: str) -> UpstreamResponse:
        return send("GET", path, headers)

    try:
        response = get("/health/live")
        if response.get_path("status") != "ok":
            yield _wrong_server_finding(settings, response)
            return
        yield _check_cookie(settings, get("/api/auth/csrf"), visitor_cookie)
        chunks = "; ".join(f"{session_cookie}.{number}={'x' * CHUNK_SIZE}" for number in range(MAX_CHUNKS))
        yield _check_origin(
            settings, send("POST", "/auth/login/email", {"Origin": settings.origin, **_JSON}, {"email": ""})
        )
        yield from _check_referrer_policy(get("/auth/login/email"))
        yield _check_header_size(get("/health/live", Cookie=chunks))
        if settings.forward_access_token:
            yield _check_forward_auth(get("/auth/verify"))
        if settings.assertion_private_key:
            yield _check_public_keys(settings, get("/.well-known/jwks.json"))
    except UpstreamError as error:
        message = f"{settings.site_url} does not answer: {error.reason}"
        yield Finding(WARNING, "site", message, "Start the site, and run this again where its visitors can reach it.")


def _wrong_server_finding(settings: config.Settings, response: UpstreamResponse) -> Finding:
    location = response.headers.get("Location", "")
    if not settings.secure and location.startswith("https:"):
        fix = "Visitors use https: set SITE_URL to the https URL, so that cookies are Secure."
    else:
        fix = "Another server has this address, or the reverse proxy does not forward to HOST and PORT."
    message = f"{settings.site_url}/health/live answers {response.status}, but not from this site"
    return Finding(ERROR, "site", message, fix)


def _check_cookie(settings: config.Settings, response: UpstreamResponse, name: str) -> Finding:
    cookie = re.search(r"([^\s;,=]*munjigi\.visitor)=([^,]*)", response.headers.get("Set-Cookie", ""))
    attributes = {part.strip().partition("=")[0].lower() for part in cookie[2].split(";")[1:]} if cookie else set()
    if cookie is None:
        message = f"the response has no cookie {name}"
        fix = "The reverse proxy removes Set-Cookie. Let it pass: without cookies no one can sign in."
    elif cookie[1] != name:
        message = f"the cookie is {cookie[1]}, not {name}"
        fix = "The running site has another SITE_URL. Restart it."
    elif "domain" in attributes or (settings.secure and "secure" not in attributes):
        message = f"the cookie {name} arrives without Secure, or with a Domain"
        fix = "Configure the reverse proxy to leave cookies unchanged."
    else:
        return Finding(OK, "site", f"{settings.site_url} answers, and the cookie {name} arrives unchanged")
    return Finding(ERROR, "site", message, fix)


def _check_origin(settings: config.Settings, response: UpstreamResponse) -> Finding:
    """`response`: the answer to a form without a CSRF token from the origin of `SITE_URL`."""
    if response.get_path("error") in ("CookiesBlocked", "FormExpired"):
        return Finding(OK, "site", f"accepts forms of the origin {settings.origin}")
    if response.get_path("error") == "OriginMismatch":
        message = f"refuses forms of the origin {settings.origin}"
        fix = "The reverse proxy changes the Origin header, or the running site has another SITE_URL."
    else:
        message = f"answers {response.status} to a form, but not from this site"
        fix = "Configure the reverse proxy to pass POST requests on to this site."
    return Finding(ERROR, "site", message, fix)


def _check_referrer_policy(response: UpstreamResponse) -> Iterator[Finding]:
    """With `no-referrer`, browsers hide the origin of forms, and some do not send `Sec-Fetch-Site` instead."""
    policy = response.headers.get("Referrer-Policy", "")
    if "no-referrer" in [part.strip() for part in policy.split(",")]:
        message = "the sign-in page arrives with Referrer-Policy: no-referrer, so browsers send forms with Origin: null"
        fix = "Configure the reverse proxy to leave Referrer-Policy unchanged: older browsers cannot send the forms."
        yield Finding(WARNING, "site", message, fix)


def _check_header_size(response: UpstreamResponse) -> Finding:
    if response.get_path("status") == "ok":
        return Finding(OK, "site", f"accepts a session of {MAX_CHUNKS} cookies")
    message = f"answers {response.status} to a session of {MAX_CHUNKS} cookies"
    fix = "Configure the reverse proxy to accept 16 kB of headers (docs/operations.md)."
    return Finding(ERROR, "site", message, fix)


def _check_forward_auth(response: UpstreamResponse) -> Finding:
    """`response`: the answer to a request to `/auth/verify`, as a browser can send it."""
    if "X-Auth-Sign-In" in response.headers:
        message = "browsers reach /auth/verify, where every script of this origin can read the backend's access token"
        fix = "Configure the reverse proxy to answer 404 there (docs/forward-auth.md): only the proxy itself needs it."
        return Finding(ERROR, "FORWARD_ACCESS_TOKEN", message, fix)
    return Finding(OK, "FORWARD_ACCESS_TOKEN", "browsers do not reach /auth/verify")


def _check_public_keys(settings: config.Settings, response: UpstreamResponse) -> Finding:
    """`response`: the key set, as apps load it."""
    url = f"{settings.site_url}/.well-known/jwks.json"
    keys = response.get_path("keys")
    served = {key.get("kid") for key in keys if isinstance(key, dict)} if isinstance(keys, list) else set()
    current = settings.assertion_private_key[0].kid
    if current in served:
        return Finding(OK, "ASSERTION_PRIVATE_KEY", f"{url} has the P-256 key {current}, which signs assertions")
    if served:
        message = f"{url} does not have the key {current}, which signs assertions"
        return Finding(ERROR, "ASSERTION_PRIVATE_KEY", message, "The running site has another key. Restart it.")
    message = f"{url} answers {response.status} without keys"
    fix = "Configure the reverse proxy to forward it, or let apps load the keys from HOST and PORT."
    return Finding(WARNING, "ASSERTION_PRIVATE_KEY", message, fix)
