"""Checks that the site is reachable at SITE_URL, and that the reverse proxy passes its cookies unchanged."""

import re
from collections.abc import Iterator

import config
from doctor.finding import ERROR, OK, WARNING, Finding
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse
from services.sessions.cookie import CHUNK_SIZE, MAX_CHUNKS

TIMEOUT_SECONDS = 5.0


def check(settings: config.Settings, http_client: HttpClient, cookies: tuple[str, str]) -> Iterator[Finding]:
    """`cookies`: the names of the session cookie and of the visitor cookie."""
    session_cookie, visitor_cookie = cookies

    def get(path: str, **headers: str) -> UpstreamResponse:
        return http_client.send("GET", settings.site_url + path, headers, within=TIMEOUT_SECONDS)

    try:
        response = get("/health/live")
        if response.get_path("status") != "ok":
            yield _wrong_server_finding(settings, response)
            return
        yield _check_cookie(settings, get("/api/auth/csrf"), visitor_cookie)
        chunks = "; ".join(f"{session_cookie}.{number}={'x' * CHUNK_SIZE}" for number in range(MAX_CHUNKS))
        yield _check_header_size(get("/health/live", Cookie=chunks))
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


def _check_header_size(response: UpstreamResponse) -> Finding:
    if response.get_path("status") == "ok":
        return Finding(OK, "site", f"accepts a session of {MAX_CHUNKS} cookies")
    message = f"answers {response.status} to a session of {MAX_CHUNKS} cookies"
    fix = "Configure the reverse proxy to accept 16 kB of headers (docs/operations.md)."
    return Finding(ERROR, "site", message, fix)
