"""After sign-out, every copy of the session is invalid; "on all devices" ends all sessions of the user."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

import errors
from services.backend.tokens import Tokens
from services.backend.user import User
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.sessions.model import Session
from services.sessions.revoked_sessions import RevokedSessions
from tests.support import forge
from tests.support.scripted import USER, scripted_backend
from tests.support.site import MINJI, ManualClock, Site, Visitor, make_settings, running_site

JUN = "jun@example.com"
EVERYWHERE = {"everywhere": "1"}


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def signed_in(site: Site, email: str = MINJI) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in(email).status_code == 303
    return visitor


def copy_of(visitor: Visitor, site: Site) -> Visitor:
    """Return another browser with all cookies of this visitor."""
    other = site.new_visitor()
    other.cookies.update(visitor.cookies.copy())
    return other


@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
def test_a_copied_cookie_is_invalid_after_sign_out(site: Site, door: str) -> None:
    visitor = signed_in(site)
    thief = copy_of(visitor, site)
    assert thief.is_signed_in
    visitor.submit(door, {"json": "true"})
    response = thief.get("/account")
    assert "error=SessionExpired" in response.headers["Location"]
    assert not thief.is_signed_in


def test_signing_out_leaves_other_devices_signed_in(site: Site) -> None:
    here, there = signed_in(site), signed_in(site)
    here.submit("/auth/logout", {})
    assert there.is_signed_in


def test_signing_out_on_all_devices_ends_all_sessions_of_that_user_only(site: Site) -> None:
    here, there, jun = signed_in(site), signed_in(site), signed_in(site, JUN)
    assert "on all devices" in here.get_page("/account").texts("button")[-1]
    here.submit("/auth/logout", EVERYWHERE)
    assert here.get_page("/").status_messages == ["You are signed out on all devices."]
    assert not here.is_signed_in
    assert not there.is_signed_in
    assert jun.is_signed_in


def test_after_signing_out_everywhere_the_user_can_sign_in_at_once(site: Site) -> None:
    visitor = signed_in(site)
    visitor.submit("/auth/logout", EVERYWHERE)
    visitor.sign_in()
    assert visitor.is_signed_in


def test_signing_out_everywhere_twice_in_a_second_ends_sessions_started_in_between(site: Site) -> None:
    """A session started after the first sign-out counts as a second later; the second sign-out must include it."""
    for _ in range(2):
        here, there = signed_in(site), signed_in(site)
        here.submit("/auth/logout", EVERYWHERE)
        assert not there.is_signed_in
    assert signed_in(site).is_signed_in


def test_signing_out_everywhere_needs_a_session(site: Site) -> None:
    victim = signed_in(site)
    site.new_visitor().submit("/auth/logout", EVERYWHERE)
    assert victim.is_signed_in


def test_a_replaced_session_is_revoked(site: Site) -> None:
    visitor = signed_in(site)
    old = copy_of(visitor, site)
    visitor.sign_in(JUN)
    assert visitor.get_session()["user"]["email"] == JUN
    assert not old.is_signed_in


# --- The list of revoked sessions


def session(sid: str, user: int = 1, began: int = 0) -> Session:
    return Session(
        user=User(user),
        access_token="t",
        provider=None,
        sid=sid,
        auth_time=began or int(time.time()),
        checked_at=0,
        expires_at=2**40,
    )


def ended_sessions(**given: object) -> RevokedSessions:
    known = make_settings(**given)
    return RevokedSessions(known, None, Clock())


@pytest.mark.corpus
def test_of_a_hundred_thousand_sessions_exactly_the_revoked_ones_are_listed() -> None:
    ended, chance = ended_sessions(), random.Random(6)
    sids = [f"{chance.getrandbits(96):x}" for _ in range(100_000)]
    for sid in sids[::2]:
        ended.revoke(session(sid))
    assert all(ended.contains(session(sid)) for sid in sids[::2])
    assert not any(ended.contains(session(sid)) for sid in sids[1::2])


def test_an_entry_is_kept_for_the_lifetime_of_a_token() -> None:
    ended = ended_sessions(session_max_age=60)

    def a_life_of_a_token_passes() -> None:
        for window in ended._windows:
            window.since -= 60 + MAX_DIFFERENCE_SECONDS + 1
        ended.revoke(session(f"{time.time()}"))

    ended.revoke(session("a"))
    a_life_of_a_token_passes()
    ended.revoke(session("b"))
    assert ended.contains(session("a"))
    a_life_of_a_token_passes()
    assert not ended.contains(session("a"))
    assert ended.contains(session("b"))


def start_session(site: Site, user: User, token: str) -> None:
    """Start a session that ends all others of its user, in a request of a browser without cookies."""
    with site.app.test_request_context():
        site.app.extensions["munjigi"].sessions.start(user, Tokens(token), "email", end_others=True)


def test_a_session_that_is_too_large_for_its_cookies_does_not_end_the_others(site: Site) -> None:
    visitor = signed_in(site)
    user = User.from_json(visitor.get_session()["user"])
    with pytest.raises(errors.SessionTooLarge):
        start_session(site, user, "t" * 20_000)
    assert visitor.is_signed_in
    start_session(site, user, "t")
    assert not visitor.is_signed_in


# --- Beside an app with NextAuth, which writes tokens again


def written_again(claims: dict[str, Any], clock: Clock, site: Site) -> Visitor:
    """A visitor with the same token as NextAuth writes it again: only `iat`, `exp` and `jti` are new."""
    now = int(clock.time())
    token = forge.encrypt({**claims, "iat": now, "exp": now + forge.MONTH, "jti": "another"})
    return site.new_visitor(Cookie=f"{forge.COOKIE}={token}")


def test_a_copy_that_is_written_again_does_not_outlive_the_list_of_revoked_sessions() -> None:
    clock = ManualClock()
    with running_site(clock=clock) as site:
        claims = forge.decrypt(str(signed_in(site).cookies[forge.COOKIE]))
        clock.advance(20 * forge.DAY)
        assert written_again(claims, clock, site).is_signed_in
        clock.advance(11 * forge.DAY)
        assert not written_again(claims, clock, site).is_signed_in


def test_signing_out_everywhere_ends_a_session_of_nextauth_also_if_it_is_written_again() -> None:
    clock = ManualClock()
    with scripted_backend() as backend, running_site(backend.url, clock=clock) as site:
        claims = forge.make_claims(user=USER)
        here, there = (written_again(claims, clock, site) for _ in range(2))
        assert there.is_signed_in
        own = signed_in(site)
        own.submit("/auth/logout", EVERYWHERE)
        clock.advance(3600)
        assert not written_again(claims, clock, site).is_signed_in
        assert not here.is_signed_in
        assert signed_in(site).is_signed_in
