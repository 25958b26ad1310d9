"""The callbacks of social sign-in, valid and hostile, over real sockets, with real cookies and nothing patched."""

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
from tests.support.faulty_backend import SECRET_MARKER
from tests.support.forge import decrypt
from tests.support.logs import captured_log
from tests.support.redirects import FORM, ORIGIN, encode_form, is_misdirected
from tests.support.redirects import ONE_OF_EACH_CATEGORY as SOME_ADDRESSES
from tests.support.scripted_provider import load_sample
from tests.support.site import SECRET, Page, cookie_names, make_settings, running_site, set_cookies
from tests.support.social_backend import SESSION, Browser, SocialSetup, error_code, new_browser, social_setup
from tests.support.tables import sample_pairs

ALL = providers.names()
BY_QUERY = [name for name in ALL if not providers.find(name).form_post]
NAMED = [name for name in ALL if load_sample(name)["issuer"]]
ONE_OF_EACH_CATEGORY = ("kakao", "google", "apple")
"""Plain OAuth 2.0, OpenID Connect, and a callback by POST."""
VICTIM = "victim@example.com"
Answer = dict[str, str]
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def everywhere() -> Iterator[SocialSetup]:
    with social_setup(*ALL) as running:
        yield running


@pytest.fixture
def here(everywhere: SocialSetup) -> SocialSetup:
    everywhere.providers.calls.clear()
    everywhere.backend.calls.clear()
    return everywhere


def under_way(here: SocialSetup, name: str, visitor: Browser | None = None, **fields: str) -> tuple[Browser, Answer]:
    """Start a sign-in and approve it at the provider; return the visitor and the parameters of the callback."""
    visitor = visitor or new_browser(here.site)
    return visitor, here.providers.approve(visitor.start_sign_in(name, **fields))


def signed_in(here: SocialSetup) -> Browser:
    victim = new_browser(here.site)
    victim.sign_in(VICTIM, "x")
    assert victim.user_name == VICTIM
    here.backend.calls.clear()
    return victim


def nothing_was_exchanged(here: SocialSetup) -> bool:
    return not here.backend.social_logins and not any(here.providers.token_requests(name) for name in ALL)


def as_before(visitor: Browser, session: str | None) -> bool:
    return visitor.cookies.get(SESSION) == session and visitor.user_name == (VICTIM if session else None)


def other(text: str) -> str:
    return ("A" if text[0] != "A" else "B") + text[1:]


# --- Callbacks with an unknown state or malformed parameters


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
@pytest.mark.parametrize(("row", "name"), sample_pairs(STRANGE_STATES, ONE_OF_EACH_CATEGORY))
def test_a_callback_with_an_unknown_state_changes_nothing(here: SocialSetup, name: str, row: str, victim: bool) -> None:
    visitor, answer = under_way(here, name, signed_in(here) if victim else None)
    before = visitor.cookies.get(SESSION)
    response = decided(visitor, visitor.send_callback(name, STRANGE_STATES[row](answer)))
    assert error_code(response) == ("" if victim else "AttemptExpired")
    assert response.headers["Location"].startswith(f"{here.site.url}/" if victim else f"{here.site.url}/auth/login")
    assert nothing_was_exchanged(here)
    assert as_before(visitor, before)


def decided(visitor: Browser, response: requests.Response) -> requests.Response:
    """Return the final answer: a POST without an attempt cookie redirects to a GET, which has all cookies."""
    address = urlsplit(response.headers.get("Location", ""))
    if response.status_code == 303 and address.path.startswith("/api/auth/callback/"):
        captured_log = {name.partition(".attempt.")[0] for name in cookie_names(response)}
        assert captured_log <= {"munjigi"}, "a POST from anywhere could overwrite the visitor's cookies"
        assert set(parse_qs(address.query)) <= {"state"}, "no code goes into an address"
        return visitor.get(response.headers["Location"])
    return response


@pytest.mark.parametrize("victim", [False, True], ids=["anonymous", "signed in"])
@pytest.mark.parametrize(("row", "name"), sample_pairs(STRANGE_ANSWERS, ONE_OF_EACH_CATEGORY))
def test_a_malformed_callback_ends_the_attempt_without_a_sign_in(
    here: SocialSetup, name: str, row: str, victim: bool
) -> None:
    visitor, answer = under_way(here, name, signed_in(here) if victim else None)
    before, (code, strange) = visitor.cookies.get(SESSION), STRANGE_ANSWERS[row]
    assert error_code(visitor.send_callback(name, strange(answer))) == code
    assert visitor.attempt_cookies == []
    assert nothing_was_exchanged(here)
    assert as_before(visitor, before)


@pytest.mark.parametrize("name", ALL)
def test_a_callback_without_any_cookie_is_refused(here: SocialSetup, name: str) -> None:
    _, answer = under_way(here, name)
    stranger = new_browser(here.site)
    assert error_code(decided(stranger, stranger.send_callback(name, answer))) == "AttemptExpired"
    assert nothing_was_exchanged(here)
    assert stranger.user_name is None
    page = stranger.get_page("/auth/login/email?error=AttemptExpired")
    assert "Start again" in page.message
    assert error_code(stranger.send_callback(name, here.providers.approve(stranger.start_sign_in(name)))) == ""


@pytest.mark.parametrize("name", ALL)
def test_an_attackers_callback_url_does_not_sign_the_victim_in_as_the_attacker(here: SocialSetup, name: str) -> None:
    _, answer = under_way(here, name)
    victim = signed_in(here)
    before = victim.cookies.get(SESSION)
    for _ in range(2):  # the second time with a sign-in of the victim's own in progress
        response = decided(victim, victim.send_callback(name, answer))
        assert response.headers["Location"] == f"{here.site.url}/"
        assert as_before(victim, before)
        victim.start_sign_in(name)
    assert nothing_was_exchanged(here)
    assert len(victim.attempt_cookies) == 2


@pytest.mark.parametrize("name", ALL)
def test_a_stolen_code_is_refused_by_the_victims_pkce_verifier(here: SocialSetup, name: str) -> None:
    _, stolen = under_way(here, name)
    victim, own = under_way(here, name)
    code = error_code(victim.send_callback(name, {**own, "code": stolen["code"]}))
    is_known = "invalid_grant" in providers.find(name).code_reuse_errors  # Facebook says it by numbers
    assert code == ("AttemptExpired" if is_known else "OAuthCallback")
    assert victim.user_name is None
    assert here.backend.social_logins == []


@pytest.mark.parametrize("name", [name for name in ALL if providers.find(name).is_oidc])
def test_the_nonce_refuses_a_stolen_code_if_the_provider_skips_pkce(here: SocialSetup, name: str) -> None:
    here.providers.verifies_pkce = False
    try:
        _, stolen = under_way(here, name)
        victim, own = under_way(here, name)
        assert error_code(victim.send_callback(name, {**own, "code": stolen["code"]})) == "OAuthCallback"
    finally:
        here.providers.verifies_pkce = True
    assert victim.user_name is None
    assert here.backend.social_logins == []


@pytest.mark.parametrize("name", ONE_OF_EACH_CATEGORY)
def test_an_attempt_cookie_renamed_to_another_attempt_is_refused(here: SocialSetup, name: str) -> None:
    visitor, first = under_way(here, name)
    _, second = under_way(here, name, visitor)
    cookies = {key: str(visitor.cookies.get(key)) for key in visitor.attempt_cookies}
    one, two = (f"munjigi.attempt.{answer['state'][:8]}" for answer in (first, second))
    response = with_cookies(here, name, {two: cookies[one]}, second)
    assert error_code(response) in ("AttemptExpired", "")
    assert SESSION not in cookie_names(response)
    assert nothing_was_exchanged(here)


def with_cookies(here: SocialSetup, name: str, cookies: dict[str, str], answer: Answer) -> requests.Response:
    """Send the callback with these cookies only, whatever their attributes."""
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
def test_a_forged_or_expired_attempt_cookie_is_refused(here: SocialSetup, name: str, row: str) -> None:
    visitor, answer = under_way(here, name)
    (cookie,) = visitor.attempt_cookies
    known = sealer().loads(visitor.cookies.get(cookie) or "")
    response = with_cookies(here, name, {cookie: FORGERIES[row](known)}, answer)
    assert error_code(response) in ("AttemptExpired", "")
    assert SESSION not in cookie_names(response)
    assert nothing_was_exchanged(here)
    assert error_code(with_cookies(here, name, {cookie: str(sealer(age=14 * 60).dumps(known))}, answer)) == ""
    assert here.providers.token_requests(name)


@pytest.mark.parametrize("kind", ["session", "visitor"])
def test_the_session_and_visitor_cookies_are_not_accepted_as_an_attempt_cookie(here: SocialSetup, kind: str) -> None:
    visitor, answer = under_way(here, "kakao", signed_in(here))
    (cookie,) = visitor.attempt_cookies
    value = visitor.cookies.get(SESSION if kind == "session" else "munjigi.visitor")
    assert error_code(with_cookies(here, "kakao", {cookie: value or ""}, answer)) == "AttemptExpired"
    assert nothing_was_exchanged(here)


# --- The same callback again


@pytest.mark.parametrize("name", ALL)
def test_reloading_the_callback_redirects_as_before_without_a_second_token_exchange(
    here: SocialSetup, name: str
) -> None:
    visitor, answer = under_way(here, name, callbackUrl="/account?tab=2")
    first = visitor.send_callback(name, answer)
    assert first.headers["Location"] == f"{here.site.url}/account?tab=2"
    session = visitor.cookies.get(SESSION)
    again = decided(visitor, visitor.send_callback(name, answer))
    assert again.headers["Location"] == f"{here.site.url}/account?tab=2"
    assert len(here.providers.token_requests(name)) == len(here.backend.social_logins) == 1
    assert visitor.cookies.get(SESSION) == session


@pytest.mark.parametrize("name", ONE_OF_EACH_CATEGORY)
def test_a_callback_with_another_state_after_the_sign_in_redirects_home(here: SocialSetup, name: str) -> None:
    visitor, answer = under_way(here, name, callbackUrl="/account?tab=2")
    visitor.send_callback(name, answer)
    again = decided(visitor, visitor.send_callback(name, {**answer, "state": "x" * 43}))
    assert again.headers["Location"] == f"{here.site.url}/"


@pytest.mark.parametrize("name", ONE_OF_EACH_CATEGORY)
def test_concurrent_copies_of_a_callback_are_one_sign_in(here: SocialSetup, name: str) -> None:
    visitor, answer = under_way(here, name, callbackUrl="/account")
    cookies = {cookie.name: cookie.value or "" for cookie in visitor.cookies}
    here.providers.token_delay = 0.2
    try:
        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(lambda _: with_cookies(here, name, cookies, answer), range(4)))
    finally:
        here.providers.token_delay = 0.0
    assert {response.headers["Location"] for response in responses} == {f"{here.site.url}/account"}
    sessions = [decrypt(response.cookies[SESSION]) for response in responses]
    assert len({(claims["sub"], claims["accessToken"]) for claims in sessions}) == 1
    assert len(here.providers.token_requests(name)) == len(here.backend.social_logins) == 1


def test_concurrent_copies_of_a_callback_fail_with_the_same_error(here: SocialSetup) -> None:
    visitor, answer = under_way(here, "kakao")
    cookies = {cookie.name: cookie.value or "" for cookie in visitor.cookies}
    here.providers.token_delay, here.providers.token_error = 0.2, (400, {"error": "invalid_grant"})
    try:
        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(lambda _: with_cookies(here, "kakao", cookies, answer), range(4)))
    finally:
        here.providers.token_delay, here.providers.token_error = 0.0, None
    assert {error_code(response) for response in responses} == {"AttemptExpired"}
    assert len(here.providers.token_requests("kakao")) == 1


@pytest.mark.parametrize("name", ALL)
def test_repeating_the_callback_after_sign_out_is_refused(here: SocialSetup, name: str) -> None:
    visitor, answer = under_way(here, name)
    visitor.send_callback(name, answer)
    visitor.submit("/auth/logout", {})
    assert error_code(decided(visitor, visitor.send_callback(name, answer))) == "AttemptExpired"
    assert visitor.user_name is None
    assert len(here.providers.token_requests(name)) == 1


@pytest.mark.parametrize("name", ONE_OF_EACH_CATEGORY)
def test_a_copied_attempt_cookie_is_refused_after_sign_out(here: SocialSetup, name: str) -> None:
    visitor, answer = under_way(here, name)
    copied = {cookie: visitor.cookies.get(cookie) or "" for cookie in visitor.attempt_cookies}
    visitor.send_callback(name, answer)
    visitor.submit("/auth/logout", {})
    response = with_cookies(here, name, copied, answer)
    assert error_code(response) == "AttemptExpired"
    assert SESSION not in cookie_names(response)


# --- Methods, paths, bodies


def test_a_get_callback_is_refused_for_a_provider_that_posts(here: SocialSetup) -> None:
    visitor, answer = under_way(here, "apple")
    assert error_code(visitor.get("/api/auth/callback/apple", params=answer)) == "AttemptExpired"
    assert nothing_was_exchanged(here)
    assert error_code(visitor.send_callback("apple", answer)) == ""


@pytest.mark.parametrize("name", BY_QUERY)
def test_a_post_callback_is_405_for_a_provider_that_uses_the_query(here: SocialSetup, name: str) -> None:
    visitor, answer = under_way(here, name)
    for query, form in ((None, answer), (answer, {"x": "y"})):
        response = visitor.post(f"/api/auth/callback/{name}", params=query, data=form)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET")
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("name", ONE_OF_EACH_CATEGORY)
def test_other_methods_leave_the_attempt_usable(here: SocialSetup, name: str, method: str) -> None:
    visitor, answer = under_way(here, name)
    response = visitor.request(method, f"/api/auth/callback/{name}", params=answer)
    assert response.status_code in (405, 415)
    assert nothing_was_exchanged(here)
    assert error_code(visitor.send_callback(name, answer)) == ""


@pytest.mark.parametrize(
    "path",
    ["nope", "../x", "google%00", "google%2f", "GOOGLE", "__proto__", "constructor", "base", "%2e%2e", "", "kakao/x",
     "credentials"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_callback_of_an_unknown_provider_is_not_found(here: SocialSetup, method: str, path: str) -> None:
    assert raw_status(here, method, f"/api/auth/callback/{path}?code=x&state=y") in (403, 404, 405)


def test_the_credentials_callback_takes_no_authorization_code(here: SocialSetup) -> None:
    assert raw_status(here, "GET", "/api/auth/callback/email?code=x&state=y") == 404
    visitor, answer = under_way(here, "github")
    response = visitor.post("/api/auth/callback/email", params=answer, data=answer)
    assert "error=FormExpired" in response.headers["Location"]
    assert visitor.user_name is None
    assert nothing_was_exchanged(here)


def raw_status(here: SocialSetup, method: str, target: str) -> int:
    """Return the status of a request for exactly this target, which no library has normalized."""
    connection = http.client.HTTPConnection(urlsplit(here.site.url).netloc, timeout=10)
    headers = {"Content-Type": FORM} if method == "POST" else {}
    connection.request(method, target, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_provider_that_is_not_configured_is_not_found() -> None:
    with social_setup("kakao") as here:
        visitor = new_browser(here.site)
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
def test_a_callback_body_that_is_no_form_is_refused(here: SocialSetup, row: str) -> None:
    visitor, answer = under_way(here, "apple")
    kind, body = BODIES[row]
    response = visitor.post_cross_site("/api/auth/callback/apple", body(answer), **{"Content-Type": kind})
    assert response.status_code in (303, 400, 413, 415)
    assert SESSION not in cookie_names(response)
    assert nothing_was_exchanged(here)


def test_a_form_with_an_unknown_charset_is_read_as_utf_8(here: SocialSetup) -> None:
    visitor, answer = under_way(here, "apple")
    kind = {"Content-Type": f"{FORM}; charset=utf-7"}
    response = visitor.post_cross_site("/api/auth/callback/apple", urlencode(answer), **kind)
    assert error_code(response) == ""
    assert visitor.user_name == "하늘"


@pytest.mark.parametrize("size", [1_000_000, 70_000])
def test_a_callback_form_that_is_too_long_is_413(here: SocialSetup, size: int) -> None:
    visitor, answer = under_way(here, "apple")
    response = visitor.send_callback("apple", {**answer, "user": "x" * size})
    assert response.status_code == 413
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("size", [4096, 8192, 65536])
@pytest.mark.parametrize("part", ["state", "code", "x"])
def test_a_very_long_query_parameter_never_breaks_the_callback(here: SocialSetup, size: int, part: str) -> None:
    visitor, answer = under_way(here, "kakao")
    response = visitor.send_callback("kakao", {**answer, part: "x" * size})
    assert response.status_code in (303, 400, 414, 431)
    assert (visitor.user_name is not None) == (part == "x" and response.status_code == 303)


# --- The callback of one provider at the route of another


@pytest.mark.parametrize("started", ALL)
def test_a_state_is_valid_only_for_the_provider_where_it_was_issued(here: SocialSetup, started: str) -> None:
    for other_one in ALL:
        if other_one == started:
            continue
        visitor, answer = under_way(here, started)
        cookies = {cookie.name: cookie.value or "" for cookie in visitor.cookies}
        response = with_cookies(here, other_one, cookies, answer)
        assert error_code(response) in ("AttemptExpired", "")
        assert SESSION not in cookie_names(response)
        assert error_code(decided(visitor, visitor.send_callback(other_one, answer))) == "AttemptExpired"
        assert visitor.user_name is None
    assert nothing_was_exchanged(here)


@pytest.mark.parametrize("name", NAMED)
def test_the_right_iss_parameter_is_accepted(here: SocialSetup, name: str) -> None:
    visitor, answer = under_way(here, name)
    assert error_code(visitor.send_callback(name, {**answer, "iss": here.providers.issuer(name)})) == ""
    assert visitor.user_name == "하늘"


@pytest.mark.parametrize("name", NAMED)
def test_a_wrong_iss_parameter_is_refused_before_the_token_exchange(here: SocialSetup, name: str) -> None:
    right = here.providers.issuer(name)
    wrong = [right + "/", right.upper(), right + "\0", right.replace("://", "://x."), right[:-1]]
    for issuer in [*wrong, *(here.providers.issuer(one) for one in NAMED if one != name)]:
        visitor, answer = under_way(here, name)
        assert error_code(visitor.send_callback(name, {**answer, "iss": issuer})) == "OAuthCallback"
        assert visitor.attempt_cookies == []
    visitor, answer = under_way(here, name)
    twice = [*answer.items(), ("iss", right), ("iss", right)]
    assert error_code(visitor.send_callback(name, twice)) == "OAuthCallback"
    assert nothing_was_exchanged(here)


def test_a_missing_iss_parameter_is_refused_if_the_metadata_announces_it() -> None:
    with social_setup("oidc") as here:
        here.providers.metadata = {"authorization_response_iss_parameter_supported": True}
        visitor, answer = under_way(here, "oidc")
        assert error_code(visitor.send_callback("oidc", answer)) == "OAuthCallback"
        assert (
            error_code(visitor.send_callback("oidc", {"error": "access_denied", "state": answer["state"]}))
            == "AttemptExpired"
        )
        visitor, answer = under_way(here, "oidc")
        assert (
            error_code(visitor.send_callback("oidc", {"error": "access_denied", "state": answer["state"]}))
            == "OAuthCallback"
        )
        assert nothing_was_exchanged(here)
        visitor, answer = under_way(here, "oidc")
        assert error_code(visitor.send_callback("oidc", {**answer, "iss": here.providers.issuer("oidc")})) == ""


# --- A session exists already


@pytest.mark.parametrize("name", ALL)
def test_a_social_sign_in_over_another_account_starts_a_separate_session(here: SocialSetup, name: str) -> None:
    visitor = signed_in(here)
    before = decrypt(visitor.cookies.get(SESSION) or "")
    _, answer = under_way(here, name, visitor)
    assert error_code(visitor.send_callback(name, answer)) == ""
    after = decrypt(visitor.cookies.get(SESSION) or "")
    assert visitor.user_name == "하늘" == here.backend.names_by_token[after["accessToken"]]
    assert after["sid"] != before["sid"]
    assert after["sub"] == after["accessToken"].split("|")[0]
    if not providers.find(name).form_post:  # a cross-site POST does not bring the session cookie that it replaces
        assert before["accessToken"] not in here.backend.names_by_token


def test_a_posted_callback_replaces_a_session_whose_cookies_the_browser_withheld(here: SocialSetup) -> None:
    visitor, answer = under_way(here, "apple")
    for number in range(2):
        visitor.cookies.set(f"{SESSION}.{number}", "x", domain="localhost.local", path="/")
    assert error_code(visitor.send_callback("apple", answer)) == ""
    assert visitor.cookies_starting_with(SESSION) == [SESSION]
    assert visitor.user_name == "하늘"


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


@pytest.mark.parametrize(
    ("error", "name"), sample_pairs(ERRORS, ONE_OF_EACH_CATEGORY), ids=lambda text: text[:30] or "empty"
)
def test_an_error_of_the_provider_shows_our_text_and_leaves_the_session_alone(
    here: SocialSetup, name: str, error: str
) -> None:
    visitor, answer = under_way(here, name, signed_in(here), callbackUrl="/account?tab=2")
    before = visitor.cookies.get(SESSION)
    response = visitor.send_callback(name, {"error": error, "state": answer["state"]})
    assert error_code(response) == ERRORS[error]
    assert parse_qs(urlsplit(response.headers["Location"]).query)["callbackUrl"] == [f"{here.site.url}/account?tab=2"]
    page = Page(visitor.get(response.headers["Location"]))
    assert (page.status, page.heading) == (200, "Sign in")
    assert page.message
    assert visitor.attempt_cookies == []
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
def test_no_text_of_a_provider_error_reaches_a_page_a_header_or_the_log(
    here: SocialSetup, name: str, field: str, word: str
) -> None:
    visitor, answer = under_way(here, name)
    with captured_log("text", logging.INFO) as log:
        response = visitor.send_callback(name, {"error": "access_denied", "state": answer["state"], field: word})
    page = Page(visitor.get(response.headers["Location"]))
    assert "canary" not in f"{page.text}{page.response.headers}{response.headers}{response.text}"
    assert "canary" not in log.getvalue()
    assert len(log.getvalue().splitlines()) == 1
    assert not cookie_names(response) & {"a", SESSION}
    assert not here.providers.calls


@pytest.mark.parametrize("name", ALL)
def test_an_error_callback_with_an_unknown_state_changes_nothing(here: SocialSetup, name: str) -> None:
    for visitor, expected in ((signed_in(here), ""), (new_browser(here.site), "AttemptExpired")):
        before = visitor.cookies.get(SESSION)
        visitor.start_sign_in(name)
        for answer in ({"error": "access_denied"}, {"error": "access_denied", "state": "x" * 43}):
            assert error_code(decided(visitor, visitor.send_callback(name, answer))) == expected
        assert len(visitor.attempt_cookies) == 1
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
def test_a_token_endpoint_error_shows_our_text(here: SocialSetup, code: str, status: int, body: Any) -> None:
    visitor, answer = under_way(here, "kakao", signed_in(here))
    before = visitor.cookies.get(SESSION)
    here.providers.token_error = (status, body)
    try:
        with captured_log("text", logging.INFO) as log:
            response = visitor.send_callback("kakao", answer)
    finally:
        here.providers.token_error = None
    assert error_code(response) == code
    assert "canary" not in f"{log.getvalue()}{visitor.get(response.headers['Location']).text}"
    assert SECRET_MARKER not in log.getvalue()
    assert as_before(visitor, before)
    assert here.backend.social_logins == []


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", ""])
def test_a_token_type_other_than_bearer_is_refused(here: SocialSetup, kind: str) -> None:
    visitor, sample = new_browser(here.site), load_sample("kakao")
    sample["token"]["answer"]["token_type"] = kind
    assert (
        error_code(visitor.send_callback("kakao", here.providers.approve(visitor.start_sign_in("kakao"), sample)))
        == "OAuthCallback"
    )
    assert here.backend.social_logins == []


# --- Callbacks by POST


def test_a_posted_callback_needs_only_the_attempt_cookie(here: SocialSetup) -> None:
    visitor, answer = under_way(here, "apple", callbackUrl="/account")
    (attempt,) = visitor.attempt_cookies
    response = with_cookies(here, "apple", {attempt: visitor.cookies.get(attempt) or ""}, answer)
    assert response.headers["Location"] == f"{here.site.url}/account"
    assert {SESSION, "munjigi.visitor", attempt} <= cookie_names(response)


def test_a_posted_callback_without_cookies_redirects_to_a_get_that_decides(here: SocialSetup) -> None:
    _, answer = under_way(here, "apple", callbackUrl="/account")
    for brought in (answer, {**answer, "state": "x" * 5000}, {}):
        response = new_browser(here.site).send_callback("apple", brought)
        assert response.status_code == 303
        assert response.headers["Location"].startswith(f"{here.site.url}/api/auth/callback/apple")
        assert not set_cookies(response)
        assert answer["code"] not in response.headers["Location"]
        assert len(response.headers["Location"]) < 300


def test_the_host_header_does_not_change_the_redirect_of_a_posted_callback(here: SocialSetup) -> None:
    _, answer = under_way(here, "apple")
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    response = new_browser(here.site).post_cross_site("/api/auth/callback/apple", answer, **evil)
    assert response.headers["Location"].startswith(f"{here.site.url}/api/auth/callback/apple?state=")


def test_the_origin_of_a_posted_callback_does_not_matter_only_its_state(here: SocialSetup) -> None:
    _, theirs = under_way(here, "apple")
    victim, own = under_way(here, "apple", signed_in(here))
    before = victim.cookies.get(SESSION)
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert error_code(decided(victim, victim.post_cross_site("/api/auth/callback/apple", theirs, **evil))) == ""
    assert as_before(victim, before)
    assert nothing_was_exchanged(here)
    for origin in ("null", "https://appleid.apple.com"):
        response = victim.post_cross_site("/api/auth/callback/apple", own, Origin=origin)
        assert error_code(decided(victim, response)) == ""
        assert victim.user_name == "하늘"


def test_the_language_is_kept_when_a_callback_brings_no_visitor_cookie(here: SocialSetup) -> None:
    visitor = new_browser(here.site)
    visitor.get_page("/auth/login/email?lang=ko")
    _, answer = under_way(here, "apple", visitor)
    visitor.send_callback("apple", answer)
    assert visitor.get_page("/account").document.get("lang") == "ko"


# --- Several attempts at once


@pytest.mark.parametrize("names", [["kakao"], ["apple"], list(ALL)], ids=["kakao", "apple", "all"])
def test_the_last_five_of_thirty_attempts_can_be_finished_in_any_order(here: SocialSetup, names: list[str]) -> None:
    visitor = new_browser(here.site)
    began = []
    for number in range(30):
        name = names[number % len(names)]
        began.append((name, here.providers.approve(visitor.start_sign_in(name, callbackUrl=f"/{number}"))))
        assert len(visitor.attempt_cookies) == min(number + 1, 5)
        assert sum(len(cookie.name) + len(cookie.value or "") + 3 for cookie in visitor.cookies) < 8192
    for number in (29, 25, 27):
        name, answer = began[number]
        assert visitor.send_callback(name, answer).headers["Location"] == f"{here.site.url}/{number}"
    assert len(visitor.attempt_cookies) == 2
    name, answer = began[24]
    visitor.submit("/auth/logout", {})
    assert error_code(decided(visitor, visitor.send_callback(name, answer))) == "AttemptExpired"


def test_long_return_addresses_do_not_crowd_out_the_newest_attempts(here: SocialSetup) -> None:
    visitor = new_browser(here.site)
    for _ in range(8):
        _, answer = under_way(here, "kakao", visitor, callbackUrl=f"/{secrets.token_urlsafe(1300)}")
        assert sum(len(cookie.name) + len(cookie.value or "") + 3 for cookie in visitor.cookies) < 8192
    assert 1 <= len(visitor.attempt_cookies) < 5
    assert len(visitor.send_callback("kakao", answer).headers["Location"]) > 1700


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "in reverse"])
@pytest.mark.parametrize(
    "names", [("google", "kakao"), ("apple", "naver"), ("google", "google"), ("apple", "apple")], ids="-".join
)
def test_two_tabs_both_finish_and_the_last_sign_in_counts(
    here: SocialSetup, names: tuple[str, str], order: tuple[int, int]
) -> None:
    visitor, began = new_browser(here.site), []
    for number, name in enumerate(names):
        address = visitor.start_sign_in(name, callbackUrl=f"/{number}")
        began.append(here.providers.approve(address, person=f"person {number}"))
    for number in order:
        response = visitor.send_callback(names[number], began[number])
        assert response.headers["Location"] == f"{here.site.url}/{number}"
        assert visitor.user_name == f"person {number}"
    assert visitor.attempt_cookies == []


@pytest.mark.corpus
def test_unfinished_attempts_take_no_memory_in_the_site(here: SocialSetup) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(one, Attempt) for one in gc.get_objects())

    visitor = new_browser(here.site)
    visitor.start_sign_in("github")
    before = kept()
    for _ in range(50):
        visitor.start_sign_in("github")
    assert kept() <= before


# --- The site restarts between start and callback


@pytest.mark.parametrize("name", ONE_OF_EACH_CATEGORY)
@pytest.mark.parametrize("rotated", [False, True], ids=["restarted", "key rotated"])
def test_an_attempt_started_before_a_restart_can_be_finished_after_it(
    here: SocialSetup, name: str, rotated: bool
) -> None:
    given: dict[str, Any] = {**here.providers.environ(*ALL), "SITE_URL": "http://localhost:5000"}
    keys = {"SECRET_KEY": f"{SECRET}-new", "SECRET_KEY_FALLBACKS": SECRET} if rotated else {}
    with running_site(here.backend.url, **given) as old:
        visitor = Browser(old.url)
        answer = here.providers.approve(visitor.start_sign_in(name))
    with running_site(here.backend.url, **{**given, **keys}) as new:
        visitor.url = new.url
        assert error_code(visitor.send_callback(name, answer)) == ""
        assert visitor.user_name == "하늘"


# --- Parameters of the start


@pytest.mark.parametrize("name", ALL)
def test_form_fields_of_the_start_do_not_reach_the_authorization_url(here: SocialSetup, name: str) -> None:
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
    visitor = new_browser(here.site)
    fields = {"csrfToken": visitor.csrf_token(), "json": "true", **hostile}
    url = visitor.post(f"/api/auth/signin/{name}", data=fields, params=hostile).json()["url"]
    asked = parse_qs(urlsplit(url).query)
    assert "canary" not in url
    assert "prompt" not in asked
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked.get("response_mode") == (
        [load_sample(name)["authorize"]["asks"]["response_mode"]] if name == "apple" else None
    )


@pytest.mark.parametrize("name", ALL)
def test_the_host_header_does_not_change_the_redirect_uri(here: SocialSetup, name: str) -> None:
    visitor = new_browser(here.site)
    token = visitor.csrf_token()
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
def test_no_link_and_no_other_site_can_start_a_social_sign_in(here: SocialSetup, name: str) -> None:
    visitor, path = new_browser(here.site), f"/api/auth/signin/{name}"
    token = visitor.csrf_token()
    responses = [
        visitor.get(path, params={"csrfToken": token}),
        visitor.post(path, data={"json": "true"}),
        visitor.post(path, data={"csrfToken": other(token)}),
        visitor.post(path, data={"csrfToken": token}, headers={"Origin": "https://evil.example"}),
        visitor.post(path, data={"csrfToken": token}, headers={"Sec-Fetch-Site": "cross-site"}),
        new_browser(here.site).post(path, data={"csrfToken": token}),
    ]
    assert all(400 <= response.status_code < 500 for response in responses)
    assert not any("munjigi.attempt" in name for response in responses for name in cookie_names(response))


@pytest.mark.corpus
@pytest.mark.parametrize("way", ["form", "query"])
def test_a_social_sign_in_redirects_to_valid_return_addresses_only(here: SocialSetup, way: str) -> None:
    given = {**here.providers.environ("kakao"), "site_url": ORIGIN, "backend_url": here.backend.url}
    client = app.create_app(make_settings(**given)).test_client()
    wrong, sent_on = [], 0
    for entry in SOME_ADDRESSES:
        value = {"callbackUrl": entry["value"]}
        token = client.get("/api/auth/csrf").json["csrfToken"]  # type: ignore[index]  # it is JSON
        form = {"csrfToken": token, "json": "true", **(value if way == "form" else {})}
        query = "?" + encode_form(value).decode() if way == "query" else ""
        began = client.post(f"/api/auth/signin/kakao{query}", data=encode_form(form), content_type=FORM)
        if began.status_code == 400 and any("\ud800" <= char <= "\udfff" for char in entry["value"]):
            continue  # bytes in a form that are not valid UTF-8
        answer = here.providers.approve(began.json["url"])  # type: ignore[index]  # it is JSON
        (location,) = client.get(f"/api/auth/callback/kakao?{urlencode(answer)}").headers.getlist("Location")
        sent_on += 1
        if is_misdirected(entry, location):
            wrong.append((entry["value"], location))
    assert wrong == []
    assert sent_on > 25


# --- The attempt cookie


def attributes(line: str) -> set[str]:
    return {part.strip().lower() for part in line.split(";")[1:]}


@cache
def site_at(url: str, **given: str) -> Flask:
    return app.create_app(make_settings(**{**given, "site_url": url}))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("site_url", [None, "https://login.example.com", "https://example.com/login-site"])
def test_the_attempt_cookie_is_limited_to_the_callback_path(here: SocialSetup, name: str, site_url: str | None) -> None:
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
