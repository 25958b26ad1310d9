"""What comes to the callbacks, honest and hostile, over real sockets, with real cookies and nothing patched."""

import gc
import http.client
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from flask import Flask
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

import app
import providers
from services.oauth.attempts import Attempt
from tests.faulty_backend import SECRET_MARK
from tests.forge import unseal
from tests.scripted_provider import sample_of
from tests.site import SECRET, Page, cookie_names, running_site, set_cookies, settings
from tests.social_backend import SESSION, Browser, World, browser, told, world
from tests.tables import spread
from tests.test_logs import written
from tests.test_return_to import FORM, ORIGIN, encoded, leads_astray
from tests.test_return_to import SOME as SOME_ADDRESSES

ALL = providers.names()
BY_QUERY = [name for name in ALL if not providers.find(name).form_post]
NAMED = [name for name in ALL if sample_of(name)["issuer"]]
SOME = ("kakao", "google", "apple")
"""Plain OAuth, OpenID Connect, and a callback by POST."""
VICTIM = "victim@example.com"
Answer = dict[str, str]
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def everywhere() -> Iterator[World]:
    with world(*ALL) as running:
        yield running


@pytest.fixture
def here(everywhere: World) -> World:
    everywhere.providers.calls.clear()
    everywhere.backend.calls.clear()
    return everywhere


def under_way(here: World, name: str, visitor: Browser | None = None, **fields: str) -> tuple[Browser, Answer]:
    """Somebody who has said yes at the provider, and what they bring back."""
    visitor = visitor or browser(here.site)
    return visitor, here.providers.approve(visitor.start(name, **fields))


def signed_in(here: World) -> Browser:
    victim = browser(here.site)
    victim.sign_in(VICTIM, "x")
    assert victim.who == VICTIM
    here.backend.calls.clear()
    return victim


def nothing_was_exchanged(here: World) -> bool:
    return not here.backend.handed_over and not any(here.providers.exchanges(name) for name in ALL)


def as_before(visitor: Browser, session: str | None) -> bool:
    return visitor.cookies.get(SESSION) == session and visitor.who == (VICTIM if session else None)


def other(text: str) -> str:
    return ("A" if text[0] != "A" else "B") + text[1:]


# --- Callbacks that answer no sign-in of this browser, or not as a provider would


STRANGE_STATES: dict[str, Callable[[Answer], Pairs]] = {
    "no state": lambda a: [("code", a["code"])],
    "an empty state": lambda a: [("code", a["code"]), ("state", "")],
    "a state cut short": lambda a: [("code", a["code"]), ("state", a["state"][:-1])],
    "only its beginning": lambda a: [("code", a["code"]), ("state", a["state"][:8])],
    "a character more": lambda a: [("code", a["code"]), ("state", a["state"] + "A")],
    "another case": lambda a: [("code", a["code"]), ("state", a["state"].swapcase())],
    "a NUL behind it": lambda a: [("code", a["code"]), ("state", a["state"] + "\0")],
    "a space before it": lambda a: [("code", a["code"]), ("state", " " + a["state"])],
    "8 KB of it": lambda a: [("code", a["code"]), ("state", a["state"] * 190)],
    "a state that is no text": lambda a: [("code", a["code"]), ("state", "\N{GREEK SMALL LETTER ALPHA}\u2028")],
    "two states, the good one first": lambda a: [*a.items(), ("state", "x")],
    "two states, the good one last": lambda a: [("state", "x"), *a.items()],
    "the same state twice": lambda a: [*a.items(), ("state", a["state"])],
    "a token in place of everything": lambda _: [("access_token", "x"), ("token_type", "bearer")],
    "nothing at all": lambda _: [],
}
STRANGE_ANSWERS: dict[str, tuple[str, Callable[[Answer], Pairs]]] = {
    "two codes, the good one first": ("OAuthCallback", lambda a: [*a.items(), ("code", "x")]),
    "two codes, the good one last": ("OAuthCallback", lambda a: [("code", "x"), *a.items()]),
    "no code": ("OAuthCallback", lambda a: [("state", a["state"])]),
    "an empty code": ("OAuthCallback", lambda a: [("state", a["state"]), ("code", "")]),
    "a code of 10 KB": ("OAuthCallback", lambda a: [("state", a["state"]), ("code", "c" * 10240)]),
    "a code with a line end": ("OAuthCallback", lambda a: [("state", a["state"]), ("code", "a\r\nX: y")]),
    "a code in Korean": ("OAuthCallback", lambda a: [("state", a["state"]), ("code", "코드")]),
    "a code with a space": ("OAuthCallback", lambda a: [("state", a["state"]), ("code", "a b")]),
    "an access token": ("OAuthCallback", lambda a: [("state", a["state"]), ("access_token", "x")]),
    "an id_token": ("OAuthCallback", lambda a: [("state", a["state"]), ("id_token", "e30.e30.x")]),
    "an error and a code": ("Cancelled", lambda a: [*a.items(), ("error", "access_denied")]),
    "an empty error and a code": ("OAuthCallback", lambda a: [*a.items(), ("error", "")]),
    "two errors": ("OAuthCallback", lambda a: [*a.items(), ("error", "x"), ("error", "access_denied")]),
    "another issuer": ("OAuthCallback", lambda a: [*a.items(), ("iss", "https://evil.example")]),
    "an empty issuer": ("OAuthCallback", lambda a: [*a.items(), ("iss", "")]),
    "an issuer's denial that it has not sent": (
        "OAuthCallback",
        lambda a: [("state", a["state"]), ("iss", "https://evil.example"), ("error", "access_denied")],
    ),
}


@pytest.mark.parametrize("victim", [False, True], ids=["anonymous", "signed in"])
@pytest.mark.parametrize(("row", "name"), spread(STRANGE_STATES, SOME))
def test_a_callback_that_answers_no_sign_in_of_this_browser_changes_nothing(
    here: World, name: str, row: str, victim: bool
) -> None:
    visitor, answer = under_way(here, name, signed_in(here) if victim else None)
    before = visitor.cookies.get(SESSION)
    response = decided(visitor, visitor.come_back(name, STRANGE_STATES[row](answer)))
    assert told(response) == ("" if victim else "AttemptExpired")
    assert response.headers["Location"].startswith(f"{here.site.url}/" if victim else f"{here.site.url}/auth/login")
    assert nothing_was_exchanged(here)
    assert as_before(visitor, before)


def decided(visitor: Browser, response: requests.Response) -> requests.Response:
    """What becomes of it: a POST that brought no attempt is sent on to a GET, which sees all cookies."""
    address = urlsplit(response.headers.get("Location", ""))
    if response.status_code == 303 and address.path.startswith("/api/auth/callback/"):
        written = {name.partition(".attempt.")[0] for name in cookie_names(response)}
        assert written <= {"munjigi"}, "a POST from anywhere could overwrite the visitor's cookies"
        assert set(parse_qs(address.query)) <= {"state"}, "no code goes into an address"
        return visitor.get(response.headers["Location"])
    return response


@pytest.mark.parametrize("victim", [False, True], ids=["anonymous", "signed in"])
@pytest.mark.parametrize(("row", "name"), spread(STRANGE_ANSWERS, SOME))
def test_an_answer_that_no_provider_gives_ends_the_attempt_and_signs_nobody_in(
    here: World, name: str, row: str, victim: bool
) -> None:
    visitor, answer = under_way(here, name, signed_in(here) if victim else None)
    before, (code, strange) = visitor.cookies.get(SESSION), STRANGE_ANSWERS[row]
    assert told(visitor.come_back(name, strange(answer))) == code
    assert visitor.attempts == []
    assert nothing_was_exchanged(here)
    assert as_before(visitor, before)


@pytest.mark.parametrize("name", ALL)
def test_a_callback_without_any_cookie_is_refused(here: World, name: str) -> None:
    _, answer = under_way(here, name)
    stranger = browser(here.site)
    assert told(decided(stranger, stranger.come_back(name, answer))) == "AttemptExpired"
    assert nothing_was_exchanged(here)
    assert stranger.who is None
    page = stranger.page("/auth/login/email?error=AttemptExpired")
    assert "Start again" in page.problem
    assert told(stranger.come_back(name, here.providers.approve(stranger.start(name)))) == ""


@pytest.mark.parametrize("name", ALL)
def test_a_link_of_an_attackers_does_not_sign_the_victim_in_as_them(here: World, name: str) -> None:
    _, answer = under_way(here, name)
    victim = signed_in(here)
    before = victim.cookies.get(SESSION)
    for _ in range(2):  # once more, with a sign-in of the victim's own under way
        response = decided(victim, victim.come_back(name, answer))
        assert response.headers["Location"] == f"{here.site.url}/"
        assert as_before(victim, before)
        victim.start(name)
    assert nothing_was_exchanged(here)
    assert len(victim.attempts) == 2


@pytest.mark.parametrize("name", ALL)
def test_a_code_of_somebody_elses_does_not_go_with_the_victims_verifier(here: World, name: str) -> None:
    _, stolen = under_way(here, name)
    victim, own = under_way(here, name)
    assert told(victim.come_back(name, {**own, "code": stolen["code"]})) == "AttemptExpired"
    assert victim.who is None
    assert here.backend.handed_over == []


@pytest.mark.parametrize("name", [name for name in ALL if providers.find(name).is_oidc])
def test_the_nonce_refuses_it_where_a_provider_forgets_the_verifier(here: World, name: str) -> None:
    here.providers.checks_verifier = False
    try:
        _, stolen = under_way(here, name)
        victim, own = under_way(here, name)
        assert told(victim.come_back(name, {**own, "code": stolen["code"]})) == "OAuthCallback"
    finally:
        here.providers.checks_verifier = True
    assert victim.who is None
    assert here.backend.handed_over == []


@pytest.mark.parametrize("name", SOME)
def test_the_cookie_of_one_attempt_under_the_name_of_another_is_refused(here: World, name: str) -> None:
    visitor, first = under_way(here, name)
    _, second = under_way(here, name, visitor)
    cookies = {key: str(visitor.cookies.get(key)) for key in visitor.attempts}
    one, two = (f"munjigi.attempt.{answer['state'][:8]}" for answer in (first, second))
    response = with_cookies(here, name, {two: cookies[one]}, second)
    assert told(response) in ("AttemptExpired", "")
    assert SESSION not in cookie_names(response)
    assert nothing_was_exchanged(here)


def with_cookies(here: World, name: str, cookies: dict[str, str], answer: Answer) -> requests.Response:
    """The callback with just these cookies, whatever their attributes."""
    header = {"Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items())}
    url = f"{here.site.url}/api/auth/callback/{name}"
    if name == "apple":
        return requests.post(url, answer, headers=header, allow_redirects=False, timeout=20)
    return requests.get(url, answer, headers=header, allow_redirects=False, timeout=20)


def sealer(key: str = SECRET, salt: str = "munjigi.attempt", age: int = 0) -> URLSafeTimedSerializer:
    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - age

    return URLSafeTimedSerializer(key, salt=salt, signer=Then)


FORGERIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "signed with another key": lambda told: str(sealer("x" * 32).dumps(told)),
    "signed for another purpose": lambda told: str(sealer(salt="cookie-session").dumps(told)),
    "not signed": json.dumps,
    "signed by nobody": lambda told: str(sealer().dumps(told)).rpartition(".")[0] + ".",
    "without its time": lambda told: ".".join(str(sealer().dumps(told)).split(".")[::2]),
    "signed for next year": lambda told: str(sealer(age=-(365 * 24 * 3600)).dumps(told)),
    "too old": lambda told: str(sealer(age=16 * 60).dumps(told)),
    "with a part missing": lambda told: str(sealer().dumps({"provider": told["provider"], "state": told["state"]})),
    "with a part too many": lambda told: str(sealer().dumps({**told, "admin": True})),
    "a list": lambda told: str(sealer().dumps([*told.values()])),
    "a token without algorithm": lambda _: "eyJhbGciOiJub25lIn0.e30.",
    "empty": lambda _: "",
    "long": lambda _: "x" * 4000,
}


@pytest.mark.parametrize("row", FORGERIES)
@pytest.mark.parametrize("name", ["kakao", "apple"])
def test_an_attempt_that_this_site_has_not_signed_just_now_is_none(here: World, name: str, row: str) -> None:
    visitor, answer = under_way(here, name)
    (cookie,) = visitor.attempts
    known = sealer().loads(visitor.cookies.get(cookie) or "")
    response = with_cookies(here, name, {cookie: FORGERIES[row](known)}, answer)
    assert told(response) in ("AttemptExpired", "")
    assert SESSION not in cookie_names(response)
    assert nothing_was_exchanged(here)
    assert told(with_cookies(here, name, {cookie: str(sealer(age=14 * 60).dumps(known))}, answer)) == ""
    assert here.providers.exchanges(name)


@pytest.mark.parametrize("kind", ["session", "visitor"])
def test_another_cookie_of_ours_is_no_attempt(here: World, kind: str) -> None:
    visitor, answer = under_way(here, "kakao", signed_in(here))
    (cookie,) = visitor.attempts
    value = visitor.cookies.get(SESSION if kind == "session" else "munjigi.visitor")
    assert told(with_cookies(here, "kakao", {cookie: value or ""}, answer)) == "AttemptExpired"
    assert nothing_was_exchanged(here)


# --- The same callback again


@pytest.mark.parametrize("name", ALL)
def test_a_reload_ends_where_the_sign_in_did_without_a_second_exchange(here: World, name: str) -> None:
    visitor, answer = under_way(here, name, callbackUrl="/account?tab=2")
    first = visitor.come_back(name, answer)
    assert first.headers["Location"] == f"{here.site.url}/account?tab=2"
    session = visitor.cookies.get(SESSION)
    again = decided(visitor, visitor.come_back(name, answer))
    assert again.headers["Location"] == f"{here.site.url}/account?tab=2"
    assert len(here.providers.exchanges(name)) == len(here.backend.handed_over) == 1
    assert visitor.cookies.get(SESSION) == session


@pytest.mark.parametrize("name", SOME)
def test_another_callback_than_the_last_one_leads_home(here: World, name: str) -> None:
    visitor, answer = under_way(here, name, callbackUrl="/account?tab=2")
    visitor.come_back(name, answer)
    again = decided(visitor, visitor.come_back(name, {**answer, "state": "x" * 43}))
    assert again.headers["Location"] == f"{here.site.url}/"


@pytest.mark.parametrize("name", SOME)
def test_two_callbacks_at_the_same_moment_are_one_sign_in(here: World, name: str) -> None:
    visitor, answer = under_way(here, name, callbackUrl="/account")
    cookies = {cookie.name: cookie.value or "" for cookie in visitor.cookies}
    here.providers.delay = 0.2
    try:
        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(lambda _: with_cookies(here, name, cookies, answer), range(4)))
    finally:
        here.providers.delay = 0.0
    assert {response.headers["Location"] for response in responses} == {f"{here.site.url}/account"}
    sessions = [unseal(response.cookies[SESSION]) for response in responses]
    assert len({(claims["sub"], claims["accessToken"]) for claims in sessions}) == 1
    assert len(here.providers.exchanges(name)) == len(here.backend.handed_over) == 1


def test_two_callbacks_at_the_same_moment_fail_alike(here: World) -> None:
    visitor, answer = under_way(here, "kakao")
    cookies = {cookie.name: cookie.value or "" for cookie in visitor.cookies}
    here.providers.delay, here.providers.refusal = 0.2, (400, {"error": "invalid_grant"})
    try:
        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(lambda _: with_cookies(here, "kakao", cookies, answer), range(4)))
    finally:
        here.providers.delay, here.providers.refusal = 0.0, None
    assert {told(response) for response in responses} == {"AttemptExpired"}
    assert len(here.providers.exchanges("kakao")) == 1


@pytest.mark.parametrize("name", ALL)
def test_the_callback_again_after_signing_out_is_refused(here: World, name: str) -> None:
    visitor, answer = under_way(here, name)
    visitor.come_back(name, answer)
    visitor.submit("/auth/logout", {})
    assert told(decided(visitor, visitor.come_back(name, answer))) == "AttemptExpired"
    assert visitor.who is None
    assert len(here.providers.exchanges(name)) == 1


@pytest.mark.parametrize("name", SOME)
def test_nor_does_a_copy_of_the_attempts_cookie_help_after_signing_out(here: World, name: str) -> None:
    visitor, answer = under_way(here, name)
    copied = {cookie: visitor.cookies.get(cookie) or "" for cookie in visitor.attempts}
    visitor.come_back(name, answer)
    visitor.submit("/auth/logout", {})
    response = with_cookies(here, name, copied, answer)
    assert told(response) == "AttemptExpired"
    assert SESSION not in cookie_names(response)


# --- Methods, paths, bodies


def test_a_callback_by_query_is_none_of_a_provider_that_posts(here: World) -> None:
    visitor, answer = under_way(here, "apple")
    assert told(visitor.get("/api/auth/callback/apple", params=answer)) == "AttemptExpired"
    assert nothing_was_exchanged(here)
    assert told(visitor.come_back("apple", answer)) == ""


@pytest.mark.parametrize("name", BY_QUERY)
def test_a_post_is_none_of_a_provider_that_comes_by_query(here: World, name: str) -> None:
    visitor, answer = under_way(here, name)
    for query, form in ((None, answer), (answer, {"x": "y"})):
        response = visitor.post(f"/api/auth/callback/{name}", params=query, data=form)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET")
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("name", SOME)
def test_a_method_that_only_looks_uses_nothing_up(here: World, name: str, method: str) -> None:
    visitor, answer = under_way(here, name)
    response = visitor.request(method, f"/api/auth/callback/{name}", params=answer)
    assert response.status_code in (405, 415)
    assert nothing_was_exchanged(here)
    assert told(visitor.come_back(name, answer)) == ""


@pytest.mark.parametrize(
    "path",
    ["nope", "../x", "google%00", "google%2f", "GOOGLE", "__proto__", "constructor", "base", "%2e%2e", "", "kakao/x",
     "credentials"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_there_is_no_callback_of_a_provider_that_there_is_not(here: World, method: str, path: str) -> None:
    assert raw_status(here, method, f"/api/auth/callback/{path}?code=x&state=y") in (403, 404, 405)


def test_the_door_for_passwords_takes_no_callback(here: World) -> None:
    assert raw_status(here, "GET", "/api/auth/callback/email?code=x&state=y") == 404
    visitor, answer = under_way(here, "github")
    response = visitor.post("/api/auth/callback/email", params=answer, data=answer)
    assert "error=FormExpired" in response.headers["Location"]
    assert visitor.who is None
    assert nothing_was_exchanged(here)


def raw_status(here: World, method: str, target: str) -> int:
    """Of a request for just this target, which no library has tidied up."""
    connection = http.client.HTTPConnection(urlsplit(here.site.url).netloc, timeout=10)
    headers = {"Content-Type": FORM} if method == "POST" else {}
    connection.request(method, target, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_provider_that_is_not_listed_is_not_there() -> None:
    with world("kakao") as here:
        visitor = browser(here.site)
        assert visitor.get("/api/auth/callback/google?code=x&state=y").status_code == 404
        assert visitor.submit("/api/auth/signin/google", {}).status_code == 404
        assert visitor.get("/api/auth/callback/kakao?code=x&state=y").status_code == 303


BODIES: dict[str, tuple[str, Callable[[Answer], bytes]]] = {
    "text": ("text/plain", lambda a: urlencode(a).encode()),
    "JSON": ("application/json", lambda a: json.dumps(a).encode()),
    "multipart": ("multipart/form-data; boundary=b", lambda a: multipart(a, 0)),
    "multipart of 1500 parts": ("multipart/form-data; boundary=b", lambda a: multipart(a, 1500)),
    "no type": ("", lambda a: urlencode(a).encode()),
    "UTF-16": (FORM, lambda a: urlencode(a).encode("utf-16")),
    "a state of bytes that are no text": (FORM, lambda a: f"code={a['code']}&state=%ff%fe".encode()),
}


def multipart(answer: Answer, more: int) -> bytes:
    fields = [*answer.items(), *((f"x{number}", "y") for number in range(more))]
    parts = (f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields)
    return "".join([*parts, "--b--\r\n"]).encode()


@pytest.mark.parametrize("row", BODIES)
def test_a_body_that_is_no_form_is_refused(here: World, row: str) -> None:
    visitor, answer = under_way(here, "apple")
    kind, body = BODIES[row]
    response = visitor.post_from_elsewhere("/api/auth/callback/apple", body(answer), **{"Content-Type": kind})
    assert response.status_code in (303, 400, 413, 415)
    assert SESSION not in cookie_names(response)
    assert nothing_was_exchanged(here)


def test_a_form_in_an_invented_charset_is_read_as_utf_8(here: World) -> None:
    visitor, answer = under_way(here, "apple")
    kind = {"Content-Type": f"{FORM}; charset=utf-7"}
    response = visitor.post_from_elsewhere("/api/auth/callback/apple", urlencode(answer), **kind)
    assert told(response) == ""
    assert visitor.who == "하늘"


@pytest.mark.parametrize("size", [1_000_000, 70_000])
def test_a_form_that_is_too_long_is_refused(here: World, size: int) -> None:
    visitor, answer = under_way(here, "apple")
    response = visitor.come_back("apple", {**answer, "user": "x" * size})
    assert response.status_code == 413
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("size", [4096, 8192, 65536])
@pytest.mark.parametrize("part", ["state", "code", "x"])
def test_a_long_query_is_refused_or_passed_over(here: World, size: int, part: str) -> None:
    visitor, answer = under_way(here, "kakao")
    response = visitor.come_back("kakao", {**answer, part: "x" * size})
    assert response.status_code in (303, 400, 414, 431)
    assert (visitor.who is not None) == (part == "x" and response.status_code == 303)


# --- One provider's answer at another's door


@pytest.mark.parametrize("started", ALL)
def test_a_state_is_good_at_the_provider_alone_where_it_began(here: World, started: str) -> None:
    for other_one in ALL:
        if other_one == started:
            continue
        visitor, answer = under_way(here, started)
        cookies = {cookie.name: cookie.value or "" for cookie in visitor.cookies}
        response = with_cookies(here, other_one, cookies, answer)
        assert told(response) in ("AttemptExpired", "")
        assert SESSION not in cookie_names(response)
        assert told(decided(visitor, visitor.come_back(other_one, answer))) == "AttemptExpired"
        assert visitor.who is None
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("name", NAMED)
def test_an_issuer_that_names_itself_rightly_is_welcome(here: World, name: str) -> None:
    visitor, answer = under_way(here, name)
    assert told(visitor.come_back(name, {**answer, "iss": here.providers.issuer(name)})) == ""
    assert visitor.who == "하늘"


@pytest.mark.parametrize("name", NAMED)
def test_an_issuer_that_names_itself_otherwise_is_refused_before_the_exchange(here: World, name: str) -> None:
    right = here.providers.issuer(name)
    wrong = [right + "/", right.upper(), right + "\0", right.replace("://", "://x."), right[:-1]]
    for issuer in [*wrong, *(here.providers.issuer(one) for one in NAMED if one != name)]:
        visitor, answer = under_way(here, name)
        assert told(visitor.come_back(name, {**answer, "iss": issuer})) == "OAuthCallback"
        assert visitor.attempts == []
    visitor, answer = under_way(here, name)
    twice = [*answer.items(), ("iss", right), ("iss", right)]
    assert told(visitor.come_back(name, twice)) == "OAuthCallback"
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("name", sorted(set(ALL) - set(NAMED)))
def test_where_no_issuer_is_known_none_is_right(here: World, name: str) -> None:
    for issuer in ("", "None", "https://evil.example", here.providers.issuer("google")):
        visitor, answer = under_way(here, name)
        assert told(visitor.come_back(name, {**answer, "iss": issuer})) == "OAuthCallback"
    assert nothing_was_exchanged(here)


def test_an_issuer_that_said_it_would_name_itself_has_to() -> None:
    with world("oidc") as here:
        here.providers.metadata = {"authorization_response_iss_parameter_supported": True}
        visitor, answer = under_way(here, "oidc")
        assert told(visitor.come_back("oidc", answer)) == "OAuthCallback"
        assert told(visitor.come_back("oidc", {"error": "access_denied", "state": answer["state"]})) == "AttemptExpired"
        visitor, answer = under_way(here, "oidc")
        assert told(visitor.come_back("oidc", {"error": "access_denied", "state": answer["state"]})) == "OAuthCallback"
        assert nothing_was_exchanged(here)
        visitor, answer = under_way(here, "oidc")
        assert told(visitor.come_back("oidc", {**answer, "iss": here.providers.issuer("oidc")})) == ""


# --- Somebody is signed in already


@pytest.mark.parametrize("name", ALL)
def test_signing_in_as_somebody_else_is_a_fresh_session_of_theirs_alone(here: World, name: str) -> None:
    visitor = signed_in(here)
    before = unseal(visitor.cookies.get(SESSION) or "")
    _, answer = under_way(here, name, visitor)
    assert told(visitor.come_back(name, answer)) == ""
    after = unseal(visitor.cookies.get(SESSION) or "")
    assert visitor.who == "하늘" == here.backend.bearers[after["accessToken"]]
    assert after["sid"] != before["sid"]
    assert after["sub"] == after["accessToken"].split("|")[0]
    if not providers.find(name).form_post:  # a POST from elsewhere does not bring the session that it replaces
        assert before["accessToken"] not in here.backend.bearers


def test_a_posted_callback_replaces_a_session_that_it_does_not_see(here: World) -> None:
    visitor, answer = under_way(here, "apple")
    for number in range(2):
        visitor.cookies.set(f"{SESSION}.{number}", "x", domain="localhost.local", path="/")
    assert told(visitor.come_back("apple", answer)) == ""
    assert visitor.named(SESSION) == [SESSION]
    assert visitor.who == "하늘"


# --- Errors


ERRORS = {
    "access_denied": "Cancelled",
    "ACCESS_DENIED": "Cancelled",
    "user_cancelled_authorize": "Cancelled",
    "temporarily_unavailable": "ProviderUnavailable",
    "server_error": "ProviderUnavailable",
    "SERVER_ERROR": "ProviderUnavailable",
    "login_required": "OAuthCallback",
    "interaction_required": "OAuthCallback",
    "consent_required": "OAuthCallback",
    "invalid_scope": "Configuration",
    "unauthorized_client": "Configuration",
    "redirect_uri_mismatch": "Configuration",
    "a word of its own": "OAuthCallback",
    "": "OAuthCallback",
    "x" * 3000: "OAuthCallback",
    "<script>alert(1)</script>": "OAuthCallback",
    "Cancelled": "OAuthCallback",
}


@pytest.mark.parametrize(("error", "name"), spread(ERRORS, SOME), ids=lambda text: text[:30] or "empty")
def test_an_error_is_told_in_our_own_words_and_troubles_nobody(here: World, name: str, error: str) -> None:
    visitor, answer = under_way(here, name, signed_in(here), callbackUrl="/account?tab=2")
    before = visitor.cookies.get(SESSION)
    response = visitor.come_back(name, {"error": error, "state": answer["state"]})
    assert told(response) == ERRORS[error]
    assert parse_qs(urlsplit(response.headers["Location"]).query)["callbackUrl"] == [f"{here.site.url}/account?tab=2"]
    page = Page(visitor.get(response.headers["Location"]))
    assert (page.status, page.heading) == (200, "Sign in")
    assert page.problem
    assert visitor.attempts == []
    assert as_before(visitor, before)
    assert nothing_was_exchanged(here)


HOSTILE_WORDS = {
    "error_description": [
        '"><img src=x onerror=alert(1)>canary',
        "canary\r\nSet-Cookie: a=b\r\n2026-01-01T00:00:00.000Z info signed_in",
        "\u202ecanary\u2066",
        "canary" * 2500,
    ],
    "error_uri": ["javascript:alert('canary')", "//canary.example", "https://canary.example/x"],
    "error": ["<script>canary</script>", "canary\r\nSet-Cookie: a=b", "canary" * 500],
}
WORDS = [(name, word) for name, words in HOSTILE_WORDS.items() for word in words]


@pytest.mark.parametrize(("field", "word"), WORDS, ids=lambda text: text[:20])
@pytest.mark.parametrize("name", ["kakao", "apple"])
def test_no_word_of_a_provider_reaches_a_page_a_header_or_a_line_of_the_log(
    here: World, name: str, field: str, word: str
) -> None:
    visitor, answer = under_way(here, name)
    with written("text", logging.INFO) as log:
        response = visitor.come_back(name, {"error": "access_denied", "state": answer["state"], field: word})
    page = Page(visitor.get(response.headers["Location"]))
    assert "canary" not in f"{page.text}{page.response.headers}{response.headers}{response.text}"
    assert "canary" not in log.getvalue()
    assert len(log.getvalue().splitlines()) == 1
    assert not cookie_names(response) & {"a", SESSION}
    assert not here.providers.calls


@pytest.mark.parametrize("name", ALL)
def test_an_error_that_answers_no_sign_in_is_nobodys(here: World, name: str) -> None:
    for visitor, expected in ((signed_in(here), ""), (browser(here.site), "AttemptExpired")):
        before = visitor.cookies.get(SESSION)
        visitor.start(name)
        for answer in ({"error": "access_denied"}, {"error": "access_denied", "state": "x" * 43}):
            assert told(decided(visitor, visitor.come_back(name, answer))) == expected
        assert len(visitor.attempts) == 1
        assert as_before(visitor, before)


REFUSALS: list[tuple[str, int, Any]] = [
    ("AttemptExpired", 400, {"error": "invalid_grant", "error_description": "canary"}),
    ("AttemptExpired", 200, {"error": "bad_verification_code"}),
    ("Configuration", 401, {"error": "invalid_client"}),
    ("Configuration", 200, {"error": "incorrect_client_credentials"}),
    ("ProviderUnavailable", 503, {"error": "temporarily_unavailable"}),
    ("ProviderUnavailable", 500, "canary"),
    ("ProviderUnavailable", 429, {}),
    ("OAuthCallback", 400, {"error": {"message": "canary", "code": 100}}),
    ("OAuthCallback", 200, {"error": "<canary>"}),
    ("OAuthCallback", 200, []),
    ("OAuthCallback", 200, None),
    ("OAuthCallback", 200, {}),
    ("OAuthCallback", 200, {"access_token": ""}),
    ("OAuthCallback", 200, {"access_token": 17, "token_type": "bearer"}),
    ("OAuthCallback", 200, {"access_token": "a b", "token_type": "bearer"}),
    ("OAuthCallback", 200, {"access_token": "a", "token_type": "mac"}),
    ("OAuthCallback", 302, {"access_token": "a", "token_type": "bearer"}),
    ("OAuthCallback", 404, "canary"),
]


@pytest.mark.parametrize(("code", "status", "body"), REFUSALS)
def test_a_refusal_of_the_token_endpoint_is_told_in_our_own_words(
    here: World, code: str, status: int, body: Any
) -> None:
    visitor, answer = under_way(here, "kakao", signed_in(here))
    before = visitor.cookies.get(SESSION)
    here.providers.refusal = (status, body)
    try:
        with written("text", logging.INFO) as log:
            response = visitor.come_back("kakao", answer)
    finally:
        here.providers.refusal = None
    assert told(response) == code
    assert "canary" not in f"{log.getvalue()}{visitor.get(response.headers['Location']).text}"
    assert SECRET_MARK not in log.getvalue()
    assert as_before(visitor, before)
    assert here.backend.handed_over == []


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", ""])
def test_a_token_that_is_no_bearer_is_not_used_as_one(here: World, kind: str) -> None:
    visitor, sample = browser(here.site), sample_of("kakao")
    sample["token"]["answer"]["token_type"] = kind
    assert told(visitor.come_back("kakao", here.providers.approve(visitor.start("kakao"), sample))) == "OAuthCallback"
    assert here.backend.handed_over == []


# --- The callback that is posted


def test_the_posted_callback_needs_the_one_cookie_that_browsers_send_with_it(here: World) -> None:
    visitor, answer = under_way(here, "apple", callbackUrl="/account")
    (attempt,) = visitor.attempts
    response = with_cookies(here, "apple", {attempt: visitor.cookies.get(attempt) or ""}, answer)
    assert response.headers["Location"] == f"{here.site.url}/account"
    assert {SESSION, "munjigi.visitor", attempt} <= cookie_names(response)


def test_the_posted_callback_without_cookies_sends_on_to_a_get_that_decides(here: World) -> None:
    _, answer = under_way(here, "apple", callbackUrl="/account")
    for brought in (answer, {**answer, "state": "x" * 5000}, {}):
        response = browser(here.site).come_back("apple", brought)
        assert response.status_code == 303
        assert response.headers["Location"].startswith(f"{here.site.url}/api/auth/callback/apple")
        assert not set_cookies(response)
        assert answer["code"] not in response.headers["Location"]
        assert len(response.headers["Location"]) < 300


def test_the_host_header_has_no_say_in_where_a_posted_callback_is_sent_on_to(here: World) -> None:
    _, answer = under_way(here, "apple")
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    response = browser(here.site).post_from_elsewhere("/api/auth/callback/apple", answer, **evil)
    assert response.headers["Location"].startswith(f"{here.site.url}/api/auth/callback/apple?state=")


def test_where_a_posted_callback_comes_from_has_no_say_but_its_state(here: World) -> None:
    _, theirs = under_way(here, "apple")
    victim, own = under_way(here, "apple", signed_in(here))
    before = victim.cookies.get(SESSION)
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert told(decided(victim, victim.post_from_elsewhere("/api/auth/callback/apple", theirs, **evil))) == ""
    assert as_before(victim, before)
    assert nothing_was_exchanged(here)
    for origin in ("null", "https://appleid.apple.com"):
        response = victim.post_from_elsewhere("/api/auth/callback/apple", own, Origin=origin)
        assert told(decided(victim, response)) == ""
        assert victim.who == "하늘"


def test_the_language_survives_a_callback_that_brings_no_visitor_cookie(here: World) -> None:
    visitor = browser(here.site)
    visitor.page("/auth/login/email?lang=ko")
    _, answer = under_way(here, "apple", visitor)
    visitor.come_back("apple", answer)
    assert visitor.page("/account").document.get("lang") == "ko"


# --- Many at once


@pytest.mark.parametrize("names", [["kakao"], ["apple"], list(ALL)], ids=["kakao", "apple", "all"])
def test_of_thirty_starts_the_last_five_can_be_finished_in_any_order(here: World, names: list[str]) -> None:
    visitor = browser(here.site)
    began = []
    for number in range(30):
        name = names[number % len(names)]
        began.append((name, here.providers.approve(visitor.start(name, callbackUrl=f"/{number}"))))
        assert len(visitor.attempts) == min(number + 1, 5)
        assert sum(len(cookie.name) + len(cookie.value or "") + 3 for cookie in visitor.cookies) < 8192
    for number in (29, 25, 27):
        name, answer = began[number]
        assert visitor.come_back(name, answer).headers["Location"] == f"{here.site.url}/{number}"
    assert len(visitor.attempts) == 2
    name, answer = began[24]
    visitor.submit("/auth/logout", {})
    assert told(decided(visitor, visitor.come_back(name, answer))) == "AttemptExpired"


def test_long_return_addresses_leave_room_for_the_newest_attempts(here: World) -> None:
    visitor = browser(here.site)
    for _ in range(8):
        _, answer = under_way(here, "kakao", visitor, callbackUrl=f"/{secrets.token_urlsafe(1300)}")
        assert sum(len(cookie.name) + len(cookie.value or "") + 3 for cookie in visitor.cookies) < 8192
    assert 1 <= len(visitor.attempts) < 5
    assert len(visitor.come_back("kakao", answer).headers["Location"]) > 1700


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "in reverse"])
@pytest.mark.parametrize(
    "names", [("google", "kakao"), ("apple", "naver"), ("google", "google"), ("apple", "apple")], ids="-".join
)
def test_two_tabs_both_finish_and_the_last_one_stays(
    here: World, names: tuple[str, str], order: tuple[int, int]
) -> None:
    visitor, began = browser(here.site), []
    for number, name in enumerate(names):
        address = visitor.start(name, callbackUrl=f"/{number}")
        began.append(here.providers.approve(address, person=f"person {number}"))
    for number in order:
        response = visitor.come_back(names[number], began[number])
        assert response.headers["Location"] == f"{here.site.url}/{number}"
        assert visitor.who == f"person {number}"
    assert visitor.attempts == []


def test_starts_that_nobody_finishes_leave_nothing_behind_in_the_site(here: World) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(one, Attempt) for one in gc.get_objects())

    visitor = browser(here.site)
    visitor.start("github")
    before = kept()
    for _ in range(50):
        visitor.start("github")
    assert kept() <= before


# --- The site is another by the time that they come back


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("rotated", [False, True], ids=["restarted", "key rotated"])
def test_who_started_before_a_restart_finishes_after_it(here: World, name: str, rotated: bool) -> None:
    given: dict[str, Any] = {**here.providers.environ(*ALL), "SITE_URL": "http://localhost:5000"}
    keys = {"SECRET_KEY": f"{SECRET}-new", "SECRET_KEY_FALLBACKS": SECRET} if rotated else {}
    with running_site(here.backend.url, **given) as old:
        visitor = Browser(old.url)
        answer = here.providers.approve(visitor.start(name))
    with running_site(here.backend.url, **{**given, **keys}) as new:
        visitor.url = new.url
        assert told(visitor.come_back(name, answer)) == ""
        assert visitor.who == "하늘"


# --- What the start is given


@pytest.mark.parametrize("name", ALL)
def test_nothing_that_a_start_is_sent_gets_into_the_providers_address(here: World, name: str) -> None:
    hostile = {
        "prompt": "none",
        "redirect_uri": "https://canary.example",
        "client_id": "canary",
        "scope": "canary",
        "response_type": "token",
        "response_mode": "fragment",
        "state": "canary",
        "nonce": "canary",
        "code_challenge": "canary",
        "code_challenge_method": "plain",
        "code_verifier": "canary",
    }
    visitor = browser(here.site)
    fields = {"csrfToken": visitor.csrf(), "json": "true", **hostile}
    url = visitor.post(f"/api/auth/signin/{name}", data=fields, params=hostile).json()["url"]
    asked = parse_qs(urlsplit(url).query)
    assert "canary" not in url
    assert "prompt" not in asked
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked.get("response_mode") == (
        [sample_of(name)["authorize"]["asks"]["response_mode"]] if name == "apple" else None
    )


@pytest.mark.parametrize("name", ALL)
def test_the_host_header_has_no_say_in_where_a_provider_sends_people(here: World, name: str) -> None:
    visitor = browser(here.site)
    token = visitor.csrf()
    kept = f"munjigi.visitor={visitor.cookies.get('munjigi.visitor')}"
    response = visitor.post(
        f"/api/auth/signin/{name}",
        data={"csrfToken": token, "json": "true"},
        headers={
            "Cookie": kept,
            "Host": "evil.example",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
        },
    )
    assert parse_qs(urlsplit(response.json()["url"]).query)["redirect_uri"] == [
        f"{here.site.url}/api/auth/callback/{name}"
    ]


@pytest.mark.parametrize("name", ALL)
def test_no_link_and_no_other_site_can_start_a_sign_in(here: World, name: str) -> None:
    visitor, path = browser(here.site), f"/api/auth/signin/{name}"
    token = visitor.csrf()
    responses = [
        visitor.get(path, params={"csrfToken": token}),
        visitor.post(path, data={"json": "true"}),
        visitor.post(path, data={"csrfToken": other(token)}),
        visitor.post(path, data={"csrfToken": token}, headers={"Origin": "https://evil.example"}),
        visitor.post(path, data={"csrfToken": token}, headers={"Sec-Fetch-Site": "cross-site"}),
        browser(here.site).post(path, data={"csrfToken": token}),
    ]
    assert all(400 <= response.status_code < 500 for response in responses)
    assert not any("munjigi.attempt" in name for response in responses for name in cookie_names(response))


@pytest.mark.parametrize("way", ["form", "query"])
def test_no_return_address_leads_off_the_site_after_a_sign_in_and_no_good_one_is_lost(here: World, way: str) -> None:
    given = {**here.providers.environ("kakao"), "site_url": ORIGIN, "backend_url": here.backend.url}
    client = app.create_app(settings(**given)).test_client()
    wrong, sent_on = [], 0
    for entry in SOME_ADDRESSES:
        value = {"callbackUrl": entry["value"]}
        token = client.get("/api/auth/csrf").json["csrfToken"]  # type: ignore[index]  # it is JSON
        form = {"csrfToken": token, "json": "true", **(value if way == "form" else {})}
        query = "?" + encoded(value).decode() if way == "query" else ""
        began = client.post(f"/api/auth/signin/kakao{query}", data=encoded(form), content_type=FORM)
        if began.status_code == 400 and any("\ud800" <= char <= "\udfff" for char in entry["value"]):
            continue  # bytes that are no UTF-8, in a form
        answer = here.providers.approve(began.json["url"])  # type: ignore[index]  # it is JSON
        (location,) = client.get(f"/api/auth/callback/kakao?{urlencode(answer)}").headers.getlist("Location")
        sent_on += 1
        if leads_astray(entry, location):
            wrong.append((entry["value"], location))
    assert wrong == []
    assert sent_on > 25


# --- The attempt's cookie


def attributes(line: str) -> set[str]:
    return {part.strip().lower() for part in line.split(";")[1:]}


@cache
def site_at(url: str, **given: str) -> Flask:
    return app.create_app(settings(**{**given, "site_url": url}))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("site_url", [None, "https://login.example.com", "https://example.com/login-site"])
def test_the_attempts_cookie_goes_where_it_must_and_nowhere_else(here: World, name: str, site_url: str | None) -> None:
    url = site_url or "http://localhost:5000"
    client = site_at(url, **here.providers.environ(*ALL)).test_client()
    path = urlsplit(url).path
    base = {"base_url": f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"}
    token = client.get(f"{path}/api/auth/csrf", **base).json["csrfToken"]  # type: ignore[index]  # it is JSON
    fields = {"csrfToken": token, "json": "true"}
    started = client.post(f"{path}/api/auth/signin/{name}", data=fields, **base)
    (line,) = [one for one in started.headers.getlist("Set-Cookie") if "munjigi.attempt." in one]
    posted, secure = providers.find(name).form_post, url.startswith("https")
    assert line.startswith("__Secure-munjigi.attempt." if secure else "munjigi.attempt.")
    expected = {f"path={path}/api/auth", "httponly", "max-age=900", "samesite=none" if posted else "samesite=lax"}
    found = {one for one in attributes(line) if not one.startswith("expires=")}
    assert found == expected | ({"secure"} if secure or posted else set())
