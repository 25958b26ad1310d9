"""The backend ends sessions at `/api/auth/sessions/revoke`."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from services.sessions.cookie import SessionCookie
from services.sessions.model import Session
from tests.support.logs import captured_log
from tests.support.site import MINJI, ManualClock, Site, SiteMaker, Visitor, make_settings, running_site

JUN = "jun@example.com"
REVOKE = "/api/auth/sessions/revoke"
TOKEN = "the-Backend-tells-with-this-one-only"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def site(clock: ManualClock) -> Iterator[Site]:
    with running_site(backend_events_token=TOKEN, clock=clock) as running:
        yield running


def signed_in(site: Site, email: str = MINJI) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in(email).status_code == 303
    return visitor


def user_id(visitor: Visitor) -> Any:
    return visitor.get_session()["user"]["id"]


def session_of(visitor: Visitor, site: Site) -> Session:
    cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    session = SessionCookie(make_settings(), site.clock).read(cookie).session
    assert session
    return session


def revoke(site: Site, body: object, **headers: str) -> requests.Response:
    return site.new_visitor().post(REVOKE, json=body, headers={**BEARER, **headers})


@pytest.mark.parametrize("form", [str, int], ids=["text", "number"])
def test_the_backend_ends_all_sessions_of_a_user_and_nobody_elses(site: Site, form: type) -> None:
    phone, laptop, jun = signed_in(site), signed_in(site), signed_in(site, JUN)
    answer = revoke(site, {"user_id": form(user_id(phone))})
    assert (answer.status_code, answer.content, answer.headers["Cache-Control"]) == (204, b"", "no-store")
    assert not phone.is_signed_in
    assert not laptop.is_signed_in
    assert jun.is_signed_in


def test_a_user_whose_sessions_the_backend_has_ended_reads_why_and_can_sign_in_again(site: Site) -> None:
    visitor = signed_in(site)
    for _ in range(2):
        revoke(site, {"user_id": user_id(visitor)})
        answer = visitor.get("/account")
        assert "error=SessionExpired&callbackUrl=" in answer.headers["Location"]
        assert visitor.get_page(answer.headers["Location"]).message == "You were signed out. Sign in again to continue."
        assert visitor.sign_in().status_code == 303
        assert visitor.is_signed_in


def test_calls_in_quick_succession_end_sessions_that_started_in_between(site: Site) -> None:
    for _ in range(3):
        visitor = signed_in(site)
        revoke(site, {"user_id": user_id(visitor)})
        assert not visitor.is_signed_in


@pytest.mark.parametrize("form", ["sid", "public_sid"])
def test_the_backend_ends_one_session_by_its_sid_or_its_public_sid(site: Site, form: str) -> None:
    phone, laptop = signed_in(site), signed_in(site)
    assert revoke(site, {"sid": getattr(session_of(phone, site), form)}).status_code == 204
    assert not phone.is_signed_in
    assert phone.get("/auth/verify").status_code == 401
    assert laptop.is_signed_in


def test_an_unknown_user_or_session_is_no_error(site: Site) -> None:
    assert revoke(site, {"user_id": "nobody"}).status_code == 204
    assert revoke(site, {"sid": "none"}).status_code == 204


BAD_USER_IDS: list[object] = [None, True, 7.0, "", [], {}, ["7"], "x" * 256]
BAD_SIDS: list[object] = [None, True, 7, "", [], {}, "x" * 256]
BAD_BODIES: list[object] = [
    *({}, {"user_id": 7, "sid": "x"}, {"user_id": 7, "reason": "x"}, {"userId": 7}, [], [{"user_id": 7}], None, 7),
    *({"user_id": value} for value in BAD_USER_IDS),
    *({"sid": value} for value in BAD_SIDS),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=str)
def test_a_body_that_names_no_user_and_no_session_gets_400_with_a_message(site: Site, body: object) -> None:
    visitor = signed_in(site)
    answer = revoke(site, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["message"]
    assert visitor.is_signed_in


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b'{"user_id": 7, "user_id": 8}'),
        ("application/json", b'{"user_id": "\\ud800"}'),
        ("application/json", b'{"user_id": ' + b"7" * 5000 + b"}"),
        ("application/json", b"[" * 20_000),
        ("application/json", b"\xff"),
        ("application/x-www-form-urlencoded", b"user_id=7"),
        ("text/plain", b'{"user_id": 7}'),
        ("", b'{"user_id": 7}'),
    ],
)
def test_a_body_that_is_no_json_gets_400(site: Site, content_type: str, body: bytes) -> None:
    answer = site.new_visitor().post(REVOKE, data=body, headers={**BEARER, "Content-Type": content_type})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_body_that_is_too_large_gets_413(site: Site) -> None:
    assert revoke(site, {"user_id": "x" * 70_000}).status_code == 413


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xe9\xff"],
)
def test_without_the_token_nobody_is_signed_out(site: Site, authorization: str) -> None:
    visitor = signed_in(site)
    headers = {"Authorization": authorization.encode("latin-1")}
    answer = site.new_visitor().post(REVOKE, json={"user_id": user_id(visitor)}, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Munjigi"')
    assert visitor.is_signed_in


def test_the_scheme_of_the_token_may_be_written_in_any_case(site: Site) -> None:
    assert revoke(site, {"user_id": 404}, Authorization=f"bearer {TOKEN}").status_code == 204


@pytest.mark.parametrize("headers", [{}, BEARER])
def test_without_the_setting_the_address_does_not_exist(shared_site: SiteMaker, headers: dict[str, str]) -> None:
    answer = shared_site().new_visitor().post(REVOKE, json={"user_id": 7}, headers=headers)
    assert answer.status_code == 404


def test_the_log_says_that_the_backend_ended_sessions_and_holds_no_token(site: Site) -> None:
    with captured_log() as log:
        revoke(site, {"user_id": 404})
        revoke(site, {"user_id": 404}, Authorization="Bearer a-wrong-token-of-some-length-0123456789")
    assert "session_revoked" in log.getvalue()
    assert "by=backend" in log.getvalue()
    assert TOKEN not in log.getvalue()
    assert "a-wrong-token" not in log.getvalue()


def test_a_session_that_ended_does_not_come_back_when_clocks_differ(site: Site, clock: ManualClock) -> None:
    """A process whose clock is a minute ahead has started the session."""
    clock.advance(59)
    visitor = signed_in(site)
    clock.reset()
    revoke(site, {"user_id": user_id(visitor)})
    assert not visitor.is_signed_in
