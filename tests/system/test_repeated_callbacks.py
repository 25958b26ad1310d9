"""A browser opens one callback twice, and the two requests reach two processes: both get the same session."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.forge import decrypt
from tests.support.redis_server import RedisServer, redis_server
from tests.support.scripted_provider import ScriptedProviders, scripted_providers
from tests.support.site import Site, running_site
from tests.support.social_backend import SESSION, Browser, SocialBackend, error_code, social_backend

pytestmark = pytest.mark.external
SITE_URL = "http://localhost:5000"
PROVIDERS = ("kakao", "google", "apple")


@pytest.fixture(scope="module")
def providers() -> Iterator[ScriptedProviders]:
    with scripted_providers() as running:
        yield running


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def backend(providers: ScriptedProviders) -> Iterator[SocialBackend]:
    with social_backend(providers) as running:
        yield running


@contextmanager
def two_sites(
    providers: ScriptedProviders, backend: SocialBackend, redis_url: str, **given: Any
) -> Iterator[tuple[Site, Site]]:
    settings: dict[str, Any] = {"site_url": SITE_URL, "redis_url": redis_url, **providers.environ(*PROVIDERS), **given}
    with running_site(backend.url, **settings) as first, running_site(backend.url, **settings) as second:
        yield first, second


def copy_at(site: Site, browser: Browser) -> Browser:
    """The same browser, whose next requests reach this process."""
    other = Browser(site.url)
    for cookie in browser.cookies:
        other.cookies.set_cookie(cookie)
    return other


def sid_of(response: requests.Response) -> str:
    assert (response.status_code, response.headers["Location"]) == (303, f"{SITE_URL}/")
    return str(decrypt(response.cookies[SESSION])["sid"])


def at_once(*calls: Callable[[], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize("name", PROVIDERS)
def test_two_callbacks_at_two_processes_get_the_same_session(
    providers: ScriptedProviders, backend: SocialBackend, redis: RedisServer, name: str
) -> None:
    backend.user_delay = 0.3  # so that the second one arrives while the first one is under way
    with two_sites(providers, backend, redis.url) as sites:
        for _ in range(3):
            browsers = [Browser(sites[0].url)]
            answer = providers.approve(browsers[0].start_sign_in(name))
            browsers += [copy_at(sites[1], browsers[0]), copy_at(sites[0], browsers[0])]
            before = len(backend.social_logins)
            first, second, third = at_once(*(partial(each.send_callback, name, answer) for each in browsers))
            assert sid_of(first) == sid_of(second) == sid_of(third)
            assert len(backend.social_logins) == before + 1, "the code is exchanged once"
            assert browsers[0].user_name == browsers[1].user_name == "하늘"


def test_a_second_callback_that_comes_after_the_first_gets_the_same_session(
    providers: ScriptedProviders, backend: SocialBackend, redis: RedisServer
) -> None:
    with two_sites(providers, backend, redis.url) as sites:
        browser = Browser(sites[0].url)
        answer = providers.approve(browser.start_sign_in("kakao"))
        other = copy_at(sites[1], browser)
        assert sid_of(browser.send_callback("kakao", answer)) == sid_of(other.send_callback("kakao", answer))
        assert browser.submit("/auth/logout", {}).status_code == 303
        assert not other.user_name, "signing out of one ends both"


def test_a_second_callback_gets_the_refresh_token_too(
    providers: ScriptedProviders, backend: SocialBackend, redis: RedisServer
) -> None:
    refresh = {"backend_refresh_token": "refresh", "backend_logout_body": "refresh={refresh_token}"}
    with two_sites(providers, backend, redis.url, **refresh) as sites:
        browser = Browser(sites[0].url)
        answer = providers.approve(browser.start_sign_in("kakao"))
        other = copy_at(sites[1], browser)
        token = decrypt(browser.send_callback("kakao", answer).cookies[SESSION])["accessToken"]
        assert other.send_callback("kakao", answer).status_code == 303
        assert other.submit("/auth/logout", {}).status_code == 303
    assert backend.requests_to("/logout") == [{"refresh": f"refresh-{token}"}]
    stored = b"".join(redis.execute("GET", key) for key in redis.execute("KEYS", "*attempt*"))
    assert b"refresh-" not in stored


def test_a_second_callback_gets_the_error_of_the_first(
    providers: ScriptedProviders, backend: SocialBackend, redis: RedisServer
) -> None:
    with two_sites(providers, backend, redis.url) as sites:
        browser = Browser(sites[0].url)
        answer = {**providers.approve(browser.start_sign_in("kakao")), "error": "access_denied"}
        del answer["code"]
        other = copy_at(sites[1], browser)
        responses = [each.send_callback("kakao", answer) for each in (browser, other)]
        assert [error_code(response) for response in responses] == ["Cancelled", "Cancelled"]


def test_no_token_can_be_read_in_redis(
    providers: ScriptedProviders, backend: SocialBackend, redis: RedisServer
) -> None:
    with two_sites(providers, backend, redis.url) as sites:
        browser = Browser(sites[0].url)
        answer = providers.approve(browser.start_sign_in("kakao"))
        session = decrypt(browser.send_callback("kakao", answer).cookies[SESSION])
    keys = [key for key in redis.execute("KEYS", "*attempt*") if redis.execute("TTL", key) > 0]
    assert keys
    stored = b"".join(key + redis.execute("GET", key) for key in keys)
    for secret in (session["accessToken"], session["sid"], answer["state"], answer["code"]):
        assert str(secret).encode() not in stored


def test_without_redis_a_callback_signs_in(
    tmp_path: Path, providers: ScriptedProviders, backend: SocialBackend
) -> None:
    with redis_server(tmp_path) as server, two_sites(providers, backend, server.url) as sites:
        server.kill()
        for site in sites:
            browser = Browser(site.url)
            answer = providers.approve(browser.start_sign_in("google"))
            assert sid_of(browser.send_callback("google", answer))


def test_a_value_that_another_site_left_in_redis_is_ignored(
    providers: ScriptedProviders, backend: SocialBackend, redis: RedisServer
) -> None:
    settings: dict[str, Any] = {"site_url": SITE_URL, "redis_url": redis.url, **providers.environ("kakao")}
    with running_site(backend.url, **settings) as site:
        browser = Browser(site.url)
        answer = providers.approve(browser.start_sign_in("kakao"))
        name = f"munjigi:attempt:{sha256(answer['state'].encode()).hexdigest()}"
        redis.execute("SET", name, "something else")
        assert sid_of(browser.send_callback("kakao", answer))
