"""A session that was signed out of is over in every copy of it, and "on all devices" in every one of the person's."""

import random
import time
from collections.abc import Iterator

import pytest

from services.backend.user import User
from services.clock import Clock
from services.sessions.model import Session
from services.sessions.revocation import RevokedSessions
from tests.site import MINJI, Site, Visitor, make_settings, running_site

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
    """Somebody else, with all of this visitor's cookies."""
    other = site.new_visitor()
    other.cookies.update(visitor.cookies.copy())
    return other


@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
def test_a_copied_cookie_is_dead_after_signing_out(site: Site, door: str) -> None:
    visitor = signed_in(site)
    thief = copy_of(visitor, site)
    assert thief.is_signed_in
    visitor.submit(door, {"json": "true"})
    response = thief.get("/account")
    assert "error=SessionExpired" in response.headers["Location"]
    assert not thief.is_signed_in


def test_signing_out_here_leaves_the_other_device_signed_in(site: Site) -> None:
    here, there = signed_in(site), signed_in(site)
    here.submit("/auth/logout", {})
    assert there.is_signed_in


def test_signing_out_on_all_devices_ends_them_all_and_nobody_elses(site: Site) -> None:
    here, there, jun = signed_in(site), signed_in(site), signed_in(site, JUN)
    assert "on all devices" in here.get_page("/account").texts("button")[-1]
    here.submit("/auth/logout", EVERYWHERE)
    assert here.get_page("/").status_messages == ["You are signed out on all devices."]
    assert not here.is_signed_in
    assert not there.is_signed_in
    assert jun.is_signed_in


def test_whoever_signed_out_everywhere_may_come_back_at_once(site: Site) -> None:
    visitor = signed_in(site)
    visitor.submit("/auth/logout", EVERYWHERE)
    visitor.sign_in()
    assert visitor.is_signed_in


def test_signing_out_everywhere_twice_in_a_second_ends_what_began_in_between(site: Site) -> None:
    """What begins after the first has begun a second later, so that it lives: the second must reach as far."""
    for _ in range(2):
        here, there = signed_in(site), signed_in(site)
        here.submit("/auth/logout", EVERYWHERE)
        assert not there.is_signed_in
    assert signed_in(site).is_signed_in


def test_nobody_can_sign_others_out_everywhere_without_a_session(site: Site) -> None:
    victim = signed_in(site)
    site.new_visitor().submit("/auth/logout", EVERYWHERE)
    assert victim.is_signed_in


def test_the_session_that_a_new_one_replaces_is_over(site: Site) -> None:
    visitor = signed_in(site)
    old = copy_of(visitor, site)
    visitor.sign_in(JUN)
    assert visitor.get_session()["user"]["email"] == JUN
    assert not old.is_signed_in


# The list itself.


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


def test_of_a_hundred_thousand_sessions_just_the_ended_ones_are_on_the_list() -> None:
    ended, chance = ended_sessions(), random.Random(6)
    sids = [f"{chance.getrandbits(96):x}" for _ in range(100_000)]
    for sid in sids[::2]:
        ended.end(session(sid))
    assert all(ended.has(session(sid)) for sid in sids[::2])
    assert not any(ended.has(session(sid)) for sid in sids[1::2])


def test_an_entry_is_kept_as_long_as_a_token_may_live_and_then_goes() -> None:
    ended = ended_sessions(session_max_age=60)

    def a_life_of_a_token_passes() -> None:
        for span in ended._spans:
            span.since -= 61
        ended.end(session(f"{time.time()}"))

    ended.end(session("a"))
    a_life_of_a_token_passes()
    ended.end(session("b"))
    assert ended.has(session("a"))
    a_life_of_a_token_passes()
    assert not ended.has(session("a"))
    assert ended.has(session("b"))
