"""With Redis, people see where they are signed in, and can end each of these sessions."""

import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from dev.backend import PASSWORD
from services.observability.user_agent import Browser, parse_user_agent
from tests.support.redis_server import RedisServer, redis_server
from tests.support.scripted import ScriptedBackend, scripted_backend
from tests.support.site import ManualClock, Page, Site, SiteMaker, Visitor

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
    " Mobile/15E148 Safari/604.1"
)
BROWSERS = [
    (CHROME, "Chrome", "Windows"),
    (SAFARI, "Safari", "iPhone"),
    (CHROME + " Edg/131.0.0.0", "Edge", "Windows"),
    (CHROME.replace("Safari", "Whale/4.29 Safari"), "Whale", "Windows"),
    (SAFARI + " KAKAOTALK 11.0", "KakaoTalk", "iPhone"),
    ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 SamsungBrowser/27.0 Chrome/125 Safari/537.36",
     "Samsung Internet", "Android"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:132.0) Gecko/20100101 Firefox/132.0", "Firefox", "macOS"),
    ("curl/8.5.0", None, None),
    ("", None, None),
    ("(((" * 100000, None, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("user_agent", "name", "system"), BROWSERS, ids=[str(row[1:]) + row[0][:4] for row in BROWSERS]
)
def test_a_browser_is_named_by_its_user_agent(user_agent: str, name: str | None, system: str | None) -> None:
    assert parse_user_agent(user_agent) == Browser(name, system)


def test_without_redis_there_is_no_list(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    assert "Where you are signed in" not in visitor.get("/account").text
    assert visitor.submit("/account/sessions/end", {"session": "0" * 16}).status_code == 303


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def listing(make_site: SiteMaker, redis: RedisServer, backend: ScriptedBackend, clock: ManualClock) -> Site:
    """A site with an empty list."""
    redis.flush()
    return make_site(backend.url, clock=clock, redis_url=redis.url)


def signed_in(site: Site, user_agent: str) -> Visitor:
    visitor = site.new_visitor(**{"User-Agent": user_agent})
    assert visitor.sign_in().status_code == 303
    return visitor


def listed(visitor: Visitor) -> list[str]:
    """What the account page says of each session, in its order."""
    return [" ".join("".join(item.itertext()).split()) for item in visitor.get_page("/account").find_all("section//li")]


def end_buttons(visitor: Visitor) -> list[str]:
    return [button.get("value") for button in visitor.get_page("/account").find_all("section//button")]


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.external
def test_each_session_is_listed_with_browser_and_times(listing: Site, clock: ManualClock) -> None:
    phone = signed_in(listing, SAFARI)
    clock.advance(7200)
    desktop = signed_in(listing, CHROME)
    assert listed(desktop) == [
        "Chrome on Windows This browser Last active 1 minute ago Signed in 1 minute ago",
        "Safari on iPhone Last active 2 hours ago Signed in 2 hours ago Sign out",
    ]
    clock.advance(600)
    phone.get("/api/auth/session")
    assert listed(phone)[0].startswith("Safari on iPhone This browser Last active 1 minute ago Signed in 2 hours ago")


@pytest.mark.external
def test_another_session_can_be_ended(listing: Site) -> None:
    phone, desktop = signed_in(listing, SAFARI), signed_in(listing, CHROME)
    (other,) = end_buttons(desktop)
    answer = desktop.submit("/account/sessions/end", {"session": other})
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/account#sessions")
    assert Page(desktop.get("/account")).status_messages == ["That session has ended."]
    assert not phone.is_signed_in
    assert desktop.is_signed_in
    assert len(listed(desktop)) == 1


@pytest.mark.external
def test_after_an_older_sign_in_people_confirm_it_first(listing: Site, clock: ManualClock) -> None:
    phone, desktop = signed_in(listing, SAFARI), signed_in(listing, CHROME)
    (other,) = end_buttons(desktop)
    clock.advance(20 * 60)
    location = desktop.submit("/account/sessions/end", {"session": other}).headers["Location"]
    assert urlsplit(location).path == "/auth/login/confirm"
    assert parse_qs(urlsplit(location).query)["callbackUrl"][0].endswith("/account")
    assert phone.is_signed_in
    assert desktop.submit("/auth/login/confirm", {"password": PASSWORD}).status_code == 303
    desktop.submit("/account/sessions/end", {"session": other})
    assert not phone.is_signed_in


@pytest.mark.external
def test_nobody_can_end_a_session_of_another_user(listing: Site, backend: ScriptedBackend) -> None:
    owner = signed_in(listing, SAFARI)
    second = signed_in(listing, CHROME)
    (target,) = end_buttons(second)
    backend.user["id"] = 8
    stranger = signed_in(listing, CHROME)
    assert len(listed(stranger)) == 1
    for value in (target, "", "x", "0" * 16, target.upper(), target + "0", "../" + target, "가"):
        assert stranger.submit("/account/sessions/end", {"session": value}).status_code == 303
    assert owner.is_signed_in
    assert stranger.is_signed_in
    assert stranger.post("/account/sessions/end", data={"session": target}).status_code == 400, "without a CSRF token"


@pytest.mark.external
def test_a_session_that_has_ended_is_not_listed(listing: Site, clock: ManualClock) -> None:
    visitors = [signed_in(listing, SAFARI) for _ in range(3)]
    desktop = signed_in(listing, CHROME)
    assert len(listed(desktop)) == 4
    visitors[0].submit("/auth/logout", {})
    wait_until(lambda: len(listed(desktop)) == 3)
    visitors[1].submit("/auth/logout", {"everywhere": "1"})
    clock.advance(120)
    again = signed_in(listing, CHROME)
    assert len(listed(again)) == 1


@pytest.mark.external
@pytest.mark.parametrize("renewed_after", [200, 2000])
def test_a_session_that_is_renewed_is_listed_until_its_new_end(
    make_site: SiteMaker, redis: RedisServer, backend: ScriptedBackend, clock: ManualClock, renewed_after: int
) -> None:
    redis.flush()
    site = make_site(
        backend.url, clock=clock, redis_url=redis.url, session_max_age=1200 if renewed_after < 300 else 3600
    )
    phone = signed_in(site, SAFARI)
    clock.advance(renewed_after)
    assert phone.is_signed_in
    clock.advance(1100 if renewed_after < 300 else 3000)
    assert len(listed(signed_in(site, CHROME))) == 2
    assert phone.is_signed_in


@pytest.mark.external
def test_redis_holds_no_name_and_no_browser(listing: Site, redis: RedisServer) -> None:
    signed_in(listing, CHROME)
    (key,) = redis.execute("KEYS", "munjigi:sessions:*")
    values = redis.execute("HVALS", key)
    assert len(values) == 1
    assert b"Chrome" not in values[0]
    assert 0 < redis.execute("TTL", key) <= 7776000


@pytest.mark.external
def test_while_redis_is_unavailable_the_page_works_without_the_list(listing: Site, redis: RedisServer) -> None:
    visitor = signed_in(listing, CHROME)
    redis.kill()
    try:
        assert visitor.get_page("/account").status == 200
        assert listed(visitor) == []
        assert visitor.submit("/account/sessions/end", {"session": "0" * 16}).status_code == 303
    finally:
        redis.start()
