"""The backend's tokens are refreshed before they expire, and each refresh token is sent once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.sessions import token_refresh
from services.sessions.token_sealer import Kind, TokenSealer
from tests.support import forge
from tests.support.logs import captured_log
from tests.support.rotating_backend import LIFE, REFRESH_LIFE, SETTINGS, RotatingBackend, rotating_backend
from tests.support.scripted import USER
from tests.support.site import SECRET, ManualClock, Site, SiteMaker, Visitor, cookie_names


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def backend() -> Iterator[RotatingBackend]:
    with rotating_backend() as running:
        yield running


@pytest.fixture
def site(make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock) -> Site:
    return make_site(backend.url, clock=clock, **SETTINGS)


def signed_in(site: Site) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


def claims_of(visitor: Visitor) -> dict[str, Any]:
    parts = {name: value for name, value in visitor.cookies.items() if name.startswith(forge.COOKIE)}
    return forge.decrypt("".join(parts[name] for name in sorted(parts)))


def read(visitor: Visitor, path: str = "/api/auth/session") -> int:
    """Read the session. Returns the status, 401 if there is no session."""
    response = visitor.get(path)
    return 401 if response.status_code == 200 and response.content.strip() == b"{}" else response.status_code


def copy_of(visitor: Visitor, site: Site) -> Visitor:
    """Another tab, whose requests left before a response of the first one came."""
    return site.new_visitor(Cookie="; ".join(f"{name}={value}" for name, value in visitor.cookies.items()))


def seconds_left(visitor: Visitor, clock: ManualClock) -> float:
    """Until the session expires, as its JSON says."""
    return datetime.fromisoformat(visitor.get_session()["expires"]).timestamp() - clock.time()


DOORS = ["/api/auth/session", "/auth/verify", "/account"]


@pytest.mark.parametrize("door", DOORS)
def test_a_token_is_refreshed_before_it_expires(
    site: Site, backend: RotatingBackend, clock: ManualClock, door: str
) -> None:
    visitor = signed_in(site)
    clock.advance(LIFE - 45)
    assert read(visitor, door) < 300
    assert backend.refreshes == [], "not due yet"
    clock.advance(20)
    assert read(visitor, door) < 300
    assert backend.refreshes == ["refresh.f0.0"]
    assert read(visitor, door) < 300
    assert len(backend.refreshes) == 1
    assert visitor.get_page("/account").status == 200
    assert claims_of(visitor)["accessToken"] == "access.f0.1", "the next page writes the cookie"
    assert TokenSealer([SECRET], Kind.REFRESH).open(claims_of(visitor)["sid"], claims_of(visitor)["sealed_refresh"])


def test_a_short_life_is_refreshed_after_four_fifths(site: Site, backend: RotatingBackend, clock: ManualClock) -> None:
    backend.expires_in = 100
    visitor = signed_in(site)
    clock.advance(75)
    read(visitor)
    assert backend.refreshes == []
    clock.advance(10)
    read(visitor)
    assert len(backend.refreshes) == 1


def test_a_session_that_is_only_verified_lives_for_many_refreshes(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    """Its cookie is never written: it has the first of all refresh tokens."""
    visitor = signed_in(site)
    for _ in range(40):  # longer than the first refresh token lives
        clock.advance(LIFE - 20)
        assert read(visitor, "/auth/verify") == 204
    assert backend.refreshes == [f"refresh.f0.{number}" for number in range(40)]
    assert read(visitor) == 200
    assert claims_of(visitor)["accessToken"] == "access.f0.40"


def test_parallel_requests_send_one_refresh(site: Site, backend: RotatingBackend, clock: ManualClock) -> None:
    visitor = signed_in(site)
    clock.advance(LIFE)
    backend.delay = 0.3
    tabs = [copy_of(visitor, site) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(read, tabs, (DOORS * 4)))
    assert set(statuses) <= {200, 204}
    assert backend.refreshes == ["refresh.f0.0"]
    assert [read(tab) for tab in tabs] == [200] * 12
    assert all(claims_of(tab)["accessToken"] == "access.f0.1" for tab in tabs)


def test_a_tab_with_the_old_cookie_gets_the_new_tokens_an_hour_later(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(site)
    old = copy_of(visitor, site)
    for _ in range(15):
        clock.advance(LIFE)
        assert read(visitor) == 200
    assert read(old) == 200
    assert len(backend.refreshes) == 15
    assert claims_of(old)["accessToken"] == "access.f0.15"


def test_a_refused_refresh_ends_the_session_and_leads_back(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(site)
    old = copy_of(visitor, site)
    backend.families["f0"] = -1
    clock.advance(LIFE)
    answer = visitor.get("/account")
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.status_code == 303
    assert query["error"] == ["SessionExpired"]
    assert query["callbackUrl"][0].endswith("/account")
    answer = old.get("/auth/verify", headers={"X-Forwarded-Uri": "/rooms"})
    query = parse_qs(urlsplit(answer.headers["X-Auth-Sign-In"]).query)
    assert query["error"] == ["SessionExpired"], "an app behind a proxy says so too"
    assert query["callbackUrl"][0].endswith("/rooms")
    assert read(visitor) == 401
    assert len(backend.refreshes) == 1


def test_a_refresh_without_an_answer_ends_nothing_and_is_repeated_after_a_while(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(site)
    backend.refresh_status = 502
    clock.advance(LIFE)
    for _ in range(5):
        assert [read(visitor, door) for door in DOORS] == [200, 204, 200]
    assert len(backend.refreshes) == 1
    backend.refresh_status = 200
    clock.advance(token_refresh.RETRY_SECONDS + 10)
    assert read(visitor) == 200
    assert len(backend.refreshes) == 2
    assert claims_of(visitor)["accessToken"] == "access.f0.1"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("retry_after", "seconds"), [("10", 20), (None, 40), ("soon", 40)])
def test_a_refresh_that_is_put_off_is_repeated_when_the_backend_says(
    site: Site, backend: RotatingBackend, clock: ManualClock, status: int, retry_after: str | None, seconds: int
) -> None:
    """Before the access token expires, if that is soon enough: it has 30 seconds left."""
    visitor = signed_in(site)
    backend.refresh_status, backend.retry_after = status, retry_after
    clock.advance(LIFE - 20)
    for _ in range(3):
        assert [read(visitor, door) for door in DOORS] == [200, 204, 200]
    assert len(backend.refreshes) == 1
    backend.refresh_status = 200
    clock.advance(seconds)
    assert read(visitor) == 200
    assert claims_of(visitor)["accessToken"] == "access.f0.1"


def test_a_lost_answer_ends_the_session_only_when_the_backend_refuses_the_second_try(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(site)
    backend.is_answer_lost = True
    clock.advance(LIFE)
    assert read(visitor) == 200
    clock.advance(token_refresh.RETRY_SECONDS + 10)
    assert read(visitor) == 401
    assert backend.refreshes == ["refresh.f0.0"] * 2


def test_one_sessions_failure_does_not_delay_the_refresh_of_another(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    first, second = signed_in(site), signed_in(site)
    clock.advance(LIFE)
    backend.refresh_status = 500
    assert read(first) == 200
    backend.refresh_status = 200
    assert read(second) == 200
    assert backend.refreshes == ["refresh.f0.0", "refresh.f1.0"]


def test_a_token_that_the_backend_refuses_is_refreshed_once(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock
) -> None:
    backend.expires_in = None  # nobody knows when the token expires
    site = make_site(backend.url, clock=clock, **{**SETTINGS, "session_revalidate": 300})
    visitor = signed_in(site)
    clock.advance(400)
    backend.refuses_access_tokens = True
    assert read(visitor) == 401, "the new token is refused too: the account is closed"
    assert len(backend.refreshes) == 1
    backend.refuses_access_tokens = False
    visitor = signed_in(site)
    clock.advance(400)
    assert read(visitor) == 200
    assert len(backend.refreshes) == 1


def test_a_closed_account_whose_refresh_is_answered_with_errors_is_signed_out_after_ten_minutes(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock
) -> None:
    site = make_site(backend.url, clock=clock, **{**SETTINGS, "session_revalidate": 60})
    visitor = signed_in(site)
    backend.refuses_access_tokens, backend.refresh_status = True, 500
    statuses = []
    for _ in range(14):
        clock.advance(70)
        statuses.append(read(visitor))
    assert statuses[:6] == [200] * 6
    assert statuses[-1] == 401


@pytest.mark.parametrize(
    ("status", "answer"),
    [(429, {}), (502, {}), (503, {}), (504, {}), (403, "<html>firewall</html>"), (401, {"error": "invalid_client"})],
    ids=str,
)
def test_a_refresh_that_the_backend_itself_has_not_answered_ends_no_session(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock, status: int, answer: object
) -> None:
    """A gateway refuses access tokens that have expired, while what refreshes them is overloaded or not there."""
    site = make_site(backend.url, clock=clock, **{**SETTINGS, "session_revalidate": 60})
    visitor = signed_in(site)
    backend.refuses_access_tokens, backend.refresh_status, backend.refresh_error = True, status, answer
    for _ in range(8):
        clock.advance(130)
        assert read(visitor) == 200
    backend.refuses_access_tokens, backend.refresh_status = False, 200
    clock.advance(70)
    assert read(visitor) == 200
    assert claims_of(visitor)["accessToken"] == "access.f0.1"


def test_an_update_uses_a_new_token_if_the_old_one_is_refused(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock
) -> None:
    site = make_site(backend.url, clock=clock, **SETTINGS)
    visitor = signed_in(site)
    backend.families["f0"] = 0
    clock.advance(LIFE)
    answer = visitor.submit("/api/auth/session", {})
    assert answer.status_code == 200
    assert answer.json()["user"]["id"] == USER["id"]
    assert len(backend.refreshes) == 1


def test_the_session_ends_with_the_refresh_token_and_its_json_says_so(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(site)
    assert abs(seconds_left(visitor, clock) - REFRESH_LIFE) < 20
    clock.advance(REFRESH_LIFE + 10)
    assert parse_qs(urlsplit(visitor.get("/account").headers["Location"]).query)["error"] == ["SessionExpired"]
    assert backend.refreshes == []


def test_a_session_that_cannot_be_refreshed_ends_with_its_access_token(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock
) -> None:
    without = {name: None for name in SETTINGS if "refresh" in name or "logout" in name}
    visitor = signed_in(make_site(backend.url, clock=clock, **{**SETTINGS, **without}))
    assert abs(seconds_left(visitor, clock) - LIFE) < 20
    clock.advance(LIFE - 60)
    assert read(visitor) == 200
    clock.advance(70)
    assert [read(visitor, door) for door in DOORS] == [401, 401, 303]


def test_a_cookie_that_an_app_has_written_again_does_not_outlive_the_refresh_token(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    """NextAuth renews `exp` for as long as its own `maxAge` says, and keeps all other claims."""
    first = signed_in(site)
    now, expires = int(clock.time()), first.get_session()["expires"]
    claims = {**claims_of(first), "iat": now, "exp": now + 30 * 24 * 3600}
    visitor = site.new_visitor(Cookie=f"{forge.COOKIE}={forge.encrypt(claims)}")
    assert visitor.get_session()["expires"] == expires
    clock.advance(REFRESH_LIFE + 10)
    assert [read(visitor, door) for door in DOORS] == [401, 401, 303]
    assert backend.refreshes == []


def test_a_refresh_token_that_cannot_be_decrypted_is_not_sent_as_an_empty_one(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    """An app has written the cookie with the new key, and the old one is no longer among `SECRET_KEY_FALLBACKS`."""
    claims, key = claims_of(signed_in(site)), "a-key-that-the-site-had-once-0123456789"
    claims["sealed_refresh"] = TokenSealer([key], Kind.REFRESH).seal(claims["sid"], "refresh.f0.0")
    visitor = site.new_visitor(Cookie=f"{forge.COOKIE}={forge.encrypt(claims)}")
    clock.advance(LIFE)
    assert [read(visitor, door) for door in DOORS] == [401, 401, 303]
    assert backend.refreshes == []


@pytest.mark.parametrize("secret", [SECRET, "an-older-Secret-of-this-site-0123456789"], ids=["current", "older key"])
def test_a_session_of_nextauth_ends_with_its_access_token(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock, secret: str
) -> None:
    fallbacks = "an-older-Secret-of-this-site-0123456789"
    site = make_site(backend.url, clock=clock, **SETTINGS, secret_key_fallbacks=fallbacks)
    key, expires_at = forge.derive_session_key(secret), int(clock.time()) + 3600
    backend.jwt_expires_at = expires_at
    payload = forge.base64url(forge.to_json({"exp": expires_at}))
    token = forge.encrypt(forge.make_claims(accessToken=f"e30.{payload}.c2ln"), key)
    visitor = site.new_visitor(Cookie=f"{forge.COOKIE}={token}")
    assert visitor.get_session()["expires"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(expires_at))
    clock.advance(3610)
    assert [read(visitor, door) for door in DOORS] == [401, 401, 303]


def test_a_backend_whose_clock_is_hours_behind_is_not_asked_for_tokens_each_time(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock
) -> None:
    """All its tokens have expired already, by the claim `exp`."""
    backend.expires_in = None
    backend.jwt_expires_at = int(clock.time()) - 3600
    visitor = signed_in(make_site(backend.url, clock=clock, **SETTINGS))
    for door in DOORS * 2:
        assert read(visitor, door) in (200, 204)
    assert backend.refreshes == []


@pytest.mark.parametrize("refreshes_expired", [False, True])
def test_a_token_that_renews_itself_does_so_before_it_expires_or_later(
    make_site: SiteMaker, backend: RotatingBackend, clock: ManualClock, refreshes_expired: bool
) -> None:
    renewing = {name: None for name in SETTINGS if "refresh_" in name or "logout" in name}
    settings = {**SETTINGS, **renewing, "backend_refreshes_expired": refreshes_expired}
    visitor = signed_in(make_site(backend.url, clock=clock, **settings))
    clock.advance(LIFE - 20)
    assert read(visitor) == 200
    assert backend.refreshes == ["access.f0.0"]
    life = LIFE if not refreshes_expired else 2592000
    assert abs(seconds_left(visitor, clock) - life) < 30
    clock.advance(LIFE + 20)
    assert read(visitor) == (200 if refreshes_expired else 401)


def test_signing_out_ends_the_newest_tokens(site: Site, backend: RotatingBackend, clock: ManualClock) -> None:
    visitor = signed_in(site)
    clock.advance(LIFE)
    assert read(visitor, "/auth/verify") == 204  # the cookie still has the old refresh token
    visitor.submit("/auth/logout", {})
    assert [token for path, token in backend.calls if path == "/logout"] == ["refresh.f0.1"]


def test_signing_out_while_the_tokens_are_refreshed_ends_the_new_ones(
    site: Site, backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(site)
    other = copy_of(visitor, site)
    csrf_token = visitor.csrf_token()
    clock.advance(LIFE)
    backend.delay = 1.0
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, other)
        while not backend.refreshes:
            time.sleep(0.01)
        site.app.extensions["munjigi"].revoked_sessions.revoke(session_of(site, visitor))
        assert reading.result() == 401
    assert csrf_token
    assert backend.families["f0"] == -1


@pytest.mark.corpus
@pytest.mark.parametrize("door", ["/api/auth/session", "/account"])
@pytest.mark.parametrize("is_refused", [False, True], ids=["refreshed", "refused"])
def test_a_sign_in_while_the_old_tokens_are_refreshed_keeps_its_cookies(
    site: Site, backend: RotatingBackend, clock: ManualClock, door: str, is_refused: bool
) -> None:
    """The response to the old tab is the last one that the browser gets."""
    visitor = signed_in(site)
    old = copy_of(visitor, site)
    clock.advance(LIFE)
    backend.delay = 3.0
    backend.refresh_status = 401 if is_refused else 200
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(old.get, door)
        while not backend.refreshes:
            time.sleep(0.01)
        assert visitor.sign_in().status_code == 303
        assert not reading.done(), "the test needs a late answer"
        assert not {name for name in cookie_names(reading.result()) if name.startswith(forge.COOKIE)}
    assert read(visitor) == 200


def session_of(site: Site, visitor: Visitor) -> Any:
    sessions = site.app.extensions["munjigi"].sessions
    header = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    return sessions._cookie.read(header).session


def test_no_token_is_logged_and_refreshes_are_counted(site: Site, backend: RotatingBackend, clock: ManualClock) -> None:
    with captured_log() as log:
        visitor = signed_in(site)
        clock.advance(LIFE)
        read(visitor)
        backend.refresh_status = 500
        clock.advance(LIFE)
        read(visitor)
        backend.families["f0"], backend.refresh_status = -1, 200
        clock.advance(LIFE)
        read(visitor)
    assert "token refresh failed" in log.getvalue()
    assert "refresh.f0" not in log.getvalue()
    assert "access.f0" not in log.getvalue()
    metrics = visitor.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"}).text
    counted = {
        outcome: f'munjigi_token_refresh_duration_seconds_count{{outcome="{outcome}"}} 1.0' in metrics
        for outcome in ("refreshed", "failed", "refused")
    }
    assert counted == dict.fromkeys(counted, True)


def test_the_response_of_a_refresh_writes_the_cookie(site: Site, backend: RotatingBackend, clock: ManualClock) -> None:
    visitor = signed_in(site)
    clock.advance(LIFE)
    assert cookie_names(visitor.get("/api/auth/session")) == {forge.COOKIE}
    assert cookie_names(visitor.get("/api/auth/session")) == set()
