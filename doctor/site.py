"""Does the site answer where people reach it, with its cookies and theirs unharmed by what is in front of it?"""

import re
from collections.abc import Iterator

import config
from doctor.finding import ADVICE, OK, WRONG, Finding
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse
from services.sessions.cookie import CHUNK_SIZE, MAX_CHUNKS

_SECONDS = 5.0
_DOCS = "docs/operations.md has a proxy to copy from."


def examine(settings: config.Settings, upstream: HttpClient, cookies: tuple[str, str]) -> Iterator[Finding]:
    """`cookies`: the names of the session's and the visitor's."""
    session, visitor = cookies

    def ask(path: str, **headers: str) -> UpstreamResponse:
        return upstream.send("GET", settings.site_url + path, headers, within=_SECONDS)

    try:
        alive = ask("/health/live")
        if alive.get_path("status") != "ok":
            yield _another(settings, alive)
            return
        yield _judge_cookie(settings, ask("/api/auth/csrf"), visitor)
        chunks = "; ".join(f"{session}.{number}={'x' * CHUNK_SIZE}" for number in range(MAX_CHUNKS))
        yield _judge_size(ask("/health/live", Cookie=chunks))
    except UpstreamError as fault:
        found = f"{settings.site_url} does not answer: {fault.reason}"
        yield Finding(ADVICE, "site", found, "Ask again when it runs, from where people are.")


def _another(settings: config.Settings, answer: UpstreamResponse) -> Finding:
    to = answer.headers.get("Location", "")
    if not settings.secure and to.startswith("https:"):
        do = "People come over https: say so in SITE_URL, or their cookies are not kept for https."
    else:
        do = "Something else is there, or the proxy does not pass it on to HOST and PORT."
    return Finding(WRONG, "site", f"{settings.site_url}/health/live answered {answer.status}, which is not ours", do)


def _judge_cookie(settings: config.Settings, answer: UpstreamResponse, name: str) -> Finding:
    cookie = re.search(r"([^\s;,=]*munjigi\.visitor)=([^,]*)", answer.headers.get("Set-Cookie", ""))
    attributes = {part.strip().partition("=")[0].lower() for part in cookie[2].split(";")[1:]} if cookie else set()
    if cookie is None:
        found, do = "its cookie does not arrive", "Something in front of it takes Set-Cookie away: nobody can sign in."
    elif cookie[1] != name:
        found, do = f"its cookie is {cookie[1]}, not {name}", "It was started with another SITE_URL: restart it."
    elif "domain" in attributes or (settings.secure and "secure" not in attributes):
        found, do = f"{name} has lost Secure, or got a Domain, on its way", "Let the proxy leave cookies as they are."
    else:
        return Finding(OK, "site", f"{settings.site_url} answers, {name} arrives as it was sent")
    return Finding(WRONG, "site", found, do)


def _judge_size(answer: UpstreamResponse) -> Finding:
    if answer.get_path("status") == "ok":
        return Finding(OK, "site", f"a session of {MAX_CHUNKS} cookies passes")
    found = f"a session of {MAX_CHUNKS} cookies does not pass: {answer.status}"
    return Finding(WRONG, "site", found, f"Let headers of 16 kB pass. {_DOCS}")
