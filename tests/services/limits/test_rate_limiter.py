"""Login limits: counted before the backend is called, not avoidable, and without locking out the owner."""

import json
import statistics
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

import settings_readers
from config import SettingsError
from services.clock import Clock
from services.event_loop import wait_for
from services.limits.account_key import account_key
from services.limits.memory_storage import BoundedMemoryStorage
from tests.support.site import (
    MINJI,
    SECRET,
    ManualClock,
    Page,
    Site,
    SiteMaker,
    Visitor,
    make_settings,
    serve_in_thread,
    set_cookies,
)

PASSWORD = "right"
DEVICE = "munjigi.device"
ANOTHER_SECRET = "Zk9-another-secret-that-is-long-enough"
LONGEST_LIMIT = 2 * 86400 + 1
"""In seconds: the longest limit that this module uses."""


@dataclass
class Backend:
    """A backend that accepts one password for every account and records which accounts it was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    delay: float = 0.0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, answer = self._answer(environ["PATH_INFO"], json.loads(body or b"{}"))
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def _answer(self, path: str, body: dict[str, str]) -> tuple[int, object]:
        if path != "/login":
            return 200, {"data": {"user": {"id": 7, "name": "민지", "nick_name": None, "email": MINJI}}}
        time.sleep(self.delay)
        self.asked.append(body["email"])
        if body["password"] == PASSWORD:
            return 200, {"data": {"token": {"plainTextToken": f"{len(self.asked)}|a-token-of-its-own"}}}
        known = body["email"] == MINJI
        return (401, {"message": "No."}) if known else (422, {"message": "No.", "errors": {"email": ["No such user."]}})


@pytest.fixture(scope="module")
def server() -> Iterator[Backend]:
    backend = Backend()
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


@pytest.fixture
def backend(server: Backend) -> Backend:
    server.asked.clear()
    server.delay = 0.0
    return server


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limited(backend: Backend, clock: ManualClock, shared_site: SiteMaker) -> Callable[..., Site]:
    """Return a site with these limits and all others switched off, behind one proxy that sets the client address.

    Sites are shared; the clock moves past what earlier tests have counted.
    """
    clock.advance(LONGEST_LIMIT)
    return lambda **given: shared_site(backend.url, clock=clock, **{"proxy_hops": 1, **given})


def at(site: Site, address: str = "203.0.113.1", **headers: str) -> Visitor:
    return site.new_visitor(**{"X-Forwarded-For": address, **headers})


def form(visitor: Visitor, email: str = MINJI, password: str = "wrong") -> requests.Response:
    return visitor.submit("/auth/login/email", {"email": email, "password": password})


def program(visitor: Visitor, email: str = MINJI, password: str = "wrong") -> requests.Response:
    sent = {"csrfToken": visitor.csrf_token(), "email": email, "password": password, "json": "true"}
    return visitor.post("/api/auth/callback/email", json=sent)


def json_form(visitor: Visitor, email: str = MINJI, password: str = "wrong") -> requests.Response:
    sent = {"csrfToken": visitor.csrf_token(), "email": email, "password": password}
    return visitor.post("/auth/login/email", json=sent)


DOORS = [form, program]
Door = Callable[..., requests.Response]


@pytest.fixture(params=DOORS, ids=lambda door: door.__name__)
def door(request: pytest.FixtureRequest) -> Door:
    return request.param  # type: ignore[no-any-return]


# --- Three limits, two entry points


def test_five_attempts_are_allowed_for_an_account_from_one_address(
    limited: Callable[..., Site], backend: Backend, door: Door
) -> None:
    site = limited(login_limit_per_account_and_ip="5/5minutes")
    assert [door(at(site)).status_code for _ in range(7)] == [401] * 5 + [429] * 2
    assert backend.asked == [MINJI] * 5
    assert door(at(site), "jun@example.com").status_code == 401


def test_the_limit_of_an_ip_address_counts_all_accounts(
    limited: Callable[..., Site], backend: Backend, door: Door
) -> None:
    site = limited(login_limit_per_ip="6/minute")
    statuses = [door(at(site), f"number{n}@example.com").status_code for n in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    assert len(backend.asked) == 6
    assert door(at(site, "203.0.113.2")).status_code == 401


def test_the_limit_of_an_account_counts_all_ip_addresses(
    limited: Callable[..., Site], backend: Backend, door: Door
) -> None:
    site = limited(login_limit_per_account="6/hour")
    statuses = [door(at(site, f"203.0.113.{n}")).status_code for n in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    assert len(backend.asked) == 6


def test_the_form_the_api_and_social_starts_share_one_limit(limited: Callable[..., Site]) -> None:
    github = {"providers": "github", "github_client_id": "an-id", "github_client_secret": "a-secret"}
    visitor = at(limited(login_limit_per_ip="3/minute", **github))
    started = visitor.submit("/api/auth/signin/github", {"json": "true"})
    assert "github.com" in started.json()["url"]
    assert [form(visitor).status_code, program(visitor).status_code] == [401, 401]
    again = visitor.submit("/api/auth/signin/github", {"json": "true"})
    assert "error=TooManyAttempts" in again.json()["url"]
    assert not any("attempt" in line for line in set_cookies(again))
    told = Page(visitor.get(again.json()["url"]))
    assert "Try again in" in told.message


@pytest.mark.corpus
def test_two_hundred_concurrent_guesses_count_exactly(limited: Callable[..., Site], backend: Backend) -> None:
    backend.delay = 0.2  # so that all guesses are sent before the first answer
    visitor = at(limited(login_limit_per_account_and_ip="5/5minutes"))
    token, cookies = visitor.csrf_token(), visitor.cookies.get_dict()

    def guess(number: int) -> int:
        fields = {"csrfToken": token, "email": MINJI, "password": f"guess {number}"}
        address = {"X-Forwarded-For": "203.0.113.1"}
        url = f"{visitor.url}/auth/login/email"
        return requests.post(url, data=fields, cookies=cookies, headers=address, timeout=60).status_code

    with ThreadPoolExecutor(50) as crowd:
        statuses = sorted(crowd.map(guess, range(200)))
    assert statuses == [401] * 5 + [429] * 195
    assert len(backend.asked) == 5


def test_the_limit_is_a_moving_window(limited: Callable[..., Site], clock: ManualClock) -> None:
    site = limited(login_limit_per_account_and_ip="2/5minutes")
    assert form(at(site)).status_code == 401
    clock.advance(200)
    assert [form(at(site)).status_code for _ in range(2)] == [401, 429]
    clock.advance(70)
    assert form(at(site)).status_code == 429
    clock.advance(31)
    assert [form(at(site)).status_code for _ in range(2)] == [401, 429], "the first one has left, the second has not"


# --- What a success resets


def test_a_successful_sign_in_resets_the_count_of_the_account_at_this_address(
    limited: Callable[..., Site], backend: Backend, door: Door
) -> None:
    site = limited(login_limit_per_account_and_ip="5/5minutes")
    for _ in range(3):
        assert [door(at(site)).status_code for _ in range(4)] == [401] * 4
        assert door(at(site), password=PASSWORD).status_code in (200, 303)
    assert len(backend.asked) == 15


def test_signing_in_to_another_account_does_not_reset_the_victims_count(
    limited: Callable[..., Site], backend: Backend
) -> None:
    site = limited(login_limit_per_account_and_ip="5/5minutes", login_limit_per_ip="100/minute")
    for _ in range(5):
        form(at(site), "victim@example.com")
        form(at(site), "mallory@example.com", PASSWORD)
    assert form(at(site), "victim@example.com").status_code == 429
    assert backend.asked.count("victim@example.com") == 5


def test_signing_in_to_a_similar_address_does_not_reset_the_victims_count(
    limited: Callable[..., Site], backend: Backend
) -> None:
    site = limited(login_limit_per_account_and_ip="5/5minutes", login_limit_per_ip="100/minute")
    for _ in range(5):
        form(at(site), "victim@example.com")
        form(at(site), "v.ictim@example.com", PASSWORD)
    assert backend.asked.count("victim@example.com") <= 5
    assert form(at(site), "victim@example.com").status_code == 429


def test_a_successful_sign_in_does_not_reset_the_other_limits(limited: Callable[..., Site]) -> None:
    by_address = limited(login_limit_per_ip="3/minute")
    assert [form(at(by_address), password=PASSWORD).status_code for _ in range(4)] == [303] * 3 + [429]
    in_all = limited(login_limit_per_account="3/minute")
    found = [form(at(in_all, f"203.0.113.{n}"), password=PASSWORD).status_code for n in range(4)]
    assert found == [303] * 3 + [429]


# --- Ways around the limit

SPELLINGS = [
    "MINJI@EXAMPLE.COM",
    " minji@example.com ",
    "minji@example.com.",
    "m.i.n.j.i@example.com",
    "ｍｉｎｊｉ＠example.com",
    "mi\u200bnji@example.com",
    "minji\ufeff@example.com",
    "mi\u00adnji@example.com",
    "m\u00ednji@example.com",  # the same account in a database with an accent-insensitive collation
    "mi\u0301nji@example.com",
    "minj\u2139@example.com",
    "minji@examp\u0142e.com",  # the same for an l with a stroke (the default of MySQL 8)
    "m\u0365nji@example.com",
    "\U0001f15cinji@example.com",
    "m\u0131nj\U0001d6a4@example.com",  # the same in upper case, with which Django compares on PostgreSQL
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=ascii)
def test_every_spelling_of_an_address_counts_as_one_account(
    limited: Callable[..., Site], backend: Backend, spelling: str
) -> None:
    site = limited(login_limit_per_account_and_ip="2/5minutes")
    for one in (MINJI, spelling):
        assert form(at(site), one).status_code == 401, "this is an address"
    assert form(at(site), spelling).status_code == form(at(site)).status_code == 429
    assert len(backend.asked) == 2


def test_no_letter_that_is_ascii_in_another_case_has_a_key_of_its_own() -> None:
    """Whatever case a backend compares in, a stranger gets no further guesses with a dotless i."""
    letters = [chr(number) for number in range(0x80, 0x20000) if not 0xD800 <= number < 0xE000]
    found = 0
    for letter in letters:
        for other in (letter.upper(), letter.lower(), letter.casefold(), unicodedata.normalize("NFKC", letter).upper()):
            if other.isascii() and other.isalnum():
                found += 1
                assert account_key(f"a{letter}b@e.co") == account_key(f"a{other}b@e.co"), ascii(letter)
    assert found > 1000


@pytest.mark.parametrize(
    "spelling",
    [
        "minji@xn--3e0b707e.kr",
        "minji@한국.kr",
        "minji@한국.KR.",
        "minji@한국。kr",
        "minji＠한국.kr",
        "\ufeffminji@한국.kr\u200b",
        "\u00a0minji@xn--3E0B707E.kr\u3000",
        "minji\u00ad@한\u2060국.kr\u202c",
    ],
    ids=ascii,
)
def test_the_backend_gets_one_spelling_of_an_address_at_every_door(
    limited: Callable[..., Site], backend: Backend, spelling: str
) -> None:
    """The spelling that Chromium sends for an `<input type=email>`."""
    site = limited(login_limit_per_account_and_ip="3/5minutes")
    for door in (form, program, json_form):
        assert door(at(site), spelling).status_code == 401
    assert backend.asked == ["minji@xn--3e0b707e.kr"] * 3
    assert form(at(site), "minji@한국.kr").status_code == 429


OTHER_IDENTIFIERS = [
    ("phone", "01012345678", ["010-1234-5678", "+82 10 1234 5678", "\uff10\uff11\uff10.1234.5678"]),
    ("phone", "01012345678", ["(+82) (0)10-1234-5678", "0082-10-1234-5678", "tel:+82-10-1234-5678"]),
    ("username", "minji", [" minji", "mi\u200bnji", "\uff4d\uff49\uff4e\uff4a\uff49"]),
    ("any", "01012345678", ["010-1234-5678", "+82 10-1234-5678", "01012345678"]),
    ("any", "minji@xn--3e0b707e.kr", ["minji@한국.kr", "minji@xn--3E0B707E.kr", "minji\uff20한국.kr."]),
    ("any", "\u314b\u314b민지", ["\u314b\u314b민지", "\uffbb\uffbb민지", " \u314b\u314b민\u200b지"]),
]


@pytest.mark.parametrize(("kind", "sent", "spellings"), OTHER_IDENTIFIERS, ids=ascii)
def test_the_backend_and_the_limits_get_one_spelling_of_every_identifier_at_every_door(
    limited: Callable[..., Site], backend: Backend, kind: str, sent: str, spellings: list[str]
) -> None:
    site = limited(login_identifier=kind, login_limit_per_account_and_ip="3/5minutes")
    for door, spelling in zip((form, program, json_form), spellings, strict=True):
        assert door(at(site), spelling).status_code == 401
    assert backend.asked == [sent] * 3
    for spelling in spellings:
        assert form(at(site), spelling).status_code == program(at(site), spelling).status_code == 429


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("username", ["minji", "MINJI", "m.i-n_j i", "m\u00ednji", "m\u0131nji"]),
        ("phone", ["010-1234-5678", "10-1234-5678", "+81 10-1234-5678", "1234-5678"]),
        ("any", ["01012345678", "10-1234-5678", "+81 10 1234 5678"]),
    ],
)
def test_spellings_that_only_a_backend_may_take_for_one_account_share_a_count(
    limited: Callable[..., Site], backend: Backend, kind: str, names: list[str]
) -> None:
    site = limited(login_identifier=kind, login_limit_per_account_and_ip="1/5minutes")
    assert [form(at(site), name).status_code for name in names] == [401] + [429] * (len(names) - 1)
    assert len(backend.asked) == 1


def test_different_numbers_and_user_names_count_as_different_accounts(limited: Callable[..., Site]) -> None:
    for kind, names in (
        ("phone", ["010-1234-5678", "010-1234-5679", "1234"]),
        ("username", ["minji", "minjj", "민지"]),
    ):
        site = limited(login_identifier=kind, login_limit_per_account_and_ip="1/5minutes")
        assert [form(at(site), name).status_code for name in names] == [401] * 3


def test_a_refused_sign_in_keeps_the_domain_as_it_was_typed(limited: Callable[..., Site]) -> None:
    page = Page(form(at(limited()), " minji@한국.kr\u200b"))
    assert page.input_value("email") == "minji@한국.kr"


@pytest.mark.parametrize("five", ["\u0665", "\u0beb", "\uff15", "\u2784", "\U0001010b"], ids=ascii)
def test_digits_of_every_script_count_as_the_same_digit(limited: Callable[..., Site], five: str) -> None:
    site = limited(login_limit_per_account_and_ip="1/5minutes")
    found = [form(at(site), f"user{digit}@example.com").status_code for digit in ("5", five, "6")]
    assert found == [401, 429, 401]


def test_different_korean_names_count_as_different_accounts(limited: Callable[..., Site]) -> None:
    site = limited(login_limit_per_account_and_ip="1/5minutes")
    for name in ("민지", "민재", "kim", "lee"):
        assert form(at(site), f"{name}@example.com").status_code == 401


def test_without_a_proxy_forwarded_headers_do_not_change_the_client_address(
    limited: Callable[..., Site], backend: Backend
) -> None:
    site = limited(proxy_hops=0, login_limit_per_ip="5/minute")
    names = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"]
    for n in range(5):
        assert form(site.new_visitor(**dict.fromkeys(names, f"203.0.113.{n}"))).status_code == 401
    assert form(site.new_visitor(**dict.fromkeys(names, "203.0.113.99"))).status_code == 429
    assert len(backend.asked) == 5


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (
            "1.2.3.4, 203.0.113.1",
            "5.6.7.8, 203.0.113.1",
            True,
        ),  # what precedes the proxy's entry comes from the visitor
        ("203.0.113.1", "203.0.113.2", False),
        ("203.0.113.1:4711", "203.0.113.1:4712", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("[2001:db8:1:2::1]:443", "2001:db8:1:2::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.1", "203.0.113.1", True),
        ("::ffff:203.0.113.1", "::ffff:203.0.113.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("nonsense", "more nonsense", True),
        ("", "unknown", False),  # an empty header counts as missing: the address is the proxy's own
    ],
)
def test_the_client_address_is_the_proxys_and_an_ipv6_network_counts_as_one(
    limited: Callable[..., Site], first: str, second: str, same: bool
) -> None:
    site = limited(login_limit_per_ip="1/minute")
    assert form(at(site, first)).status_code == 401
    assert form(at(site, second)).status_code == (429 if same else 401)


# --- Messages


@pytest.mark.parametrize(("language", "words"), [("en", "Try again in 5 minutes."), ("ko", "5분 뒤에 다시")])
def test_the_page_says_how_long_to_wait(limited: Callable[..., Site], language: str, words: str) -> None:
    visitor = at(limited(login_limit_per_account_and_ip="1/5minutes"), **{"Accept-Language": language})
    form(visitor)
    refused = Page(form(visitor))
    assert refused.status == 429
    assert 295 <= int(refused.response.headers["Retry-After"]) <= 300
    assert words in refused.message
    assert refused.input_value("email") == MINJI
    assert not refused.input_value("password")


def test_the_longer_wait_of_two_reached_limits_is_shown(limited: Callable[..., Site], door: Door) -> None:
    visitor = at(limited(login_limit_per_ip="3/minute", login_limit_per_account_and_ip="2/10minutes"))
    waits = [int(door(visitor).headers.get("Retry-After", 0)) for _ in range(5)]
    assert waits[:2] == [0, 0]
    assert all(590 <= wait <= 600 for wait in waits[2:])


def test_the_json_answer_has_retry_after_and_a_page_that_shows_it(limited: Callable[..., Site]) -> None:
    visitor = at(limited(login_limit_per_account_and_ip="1/2days"))
    program(visitor)
    refused = program(visitor)
    assert refused.status_code == 429
    assert 172790 <= int(refused.headers["Retry-After"]) <= 172800
    assert "error=TooManyAttempts" in refused.json()["url"]
    assert "Try again in 48 hours." in visitor.get_page(refused.json()["url"]).message


# --- The owner is not locked out


def test_guesses_from_another_address_do_not_lock_out_the_owner(limited: Callable[..., Site]) -> None:
    site = limited(login_limit_per_account_and_ip="5/5minutes")
    for _ in range(8):
        form(at(site, "198.51.100.66"))
    assert form(at(site, "203.0.113.1"), password=PASSWORD).status_code == 303


def test_guesses_from_everywhere_do_not_lock_out_the_owners_browser(limited: Callable[..., Site]) -> None:
    site = limited(login_limit_per_account="20/hour")
    owner = at(site)
    form(owner, password=PASSWORD)
    for n in range(25):
        form(at(site, f"198.51.100.{n}"))
    assert form(at(site, "203.0.113.77"), password=PASSWORD).status_code == 429, "any other browser has to wait"
    owner.headers["X-Forwarded-For"] = "192.0.2.5"  # the owner's phone changes its network
    assert form(owner, password=PASSWORD).status_code == 303


# --- The device cookie


@contextmanager
def flooded(limited: Callable[..., Site], **given: Any) -> Iterator[Callable[[str], int]]:
    """Use up the account's limit; yield a function that signs in with a device cookie and returns the status."""
    site = limited(login_limit_per_account="3/hour", **given)
    for n in range(4):
        form(at(site, f"198.51.100.{n}"))

    def try_with(cookie: str) -> int:
        visitor = at(site, "203.0.113.200")
        visitor.cookies.set(DEVICE, cookie, domain="localhost.local", path="/")
        return form(visitor, password=PASSWORD).status_code

    yield try_with


def signed_in_before(site: Site, *emails: str) -> str:
    """Return the device cookie of a browser in which these accounts have signed in, one after the other."""
    visitor = at(site, "203.0.113.50")
    for email in emails:
        assert form(visitor, email, PASSWORD).status_code == 303
    return str(visitor.cookies[DEVICE])


def test_a_forged_device_cookie_gets_no_limit_of_its_own(limited: Callable[..., Site]) -> None:
    good = signed_in_before(limited(), MINJI)
    body, _, signature = good.rpartition(".")
    forged = {
        "another secret": signed_in_before(limited(secret_key=ANOTHER_SECRET), MINJI),
        "somebody else's browser": signed_in_before(limited(), "mallory@example.com"),
        "its signature changed": f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "its body changed": f"{'W' if good[0] != 'W' else 'V'}{good[1:]}",
        "no signature": body,
        "empty": "",
        "text": "minji@example.com",
        "JSON": '["x",["y"]]',
        "long": "x" * 4000,
    }
    with flooded(limited) as try_with:
        assert {name: try_with(cookie) for name, cookie in forged.items()} == dict.fromkeys(forged, 429)
        assert try_with(good) == 303, "and the right one is"


def test_the_device_cookie_survives_a_key_rotation(limited: Callable[..., Site]) -> None:
    old = signed_in_before(limited(), MINJI)
    with flooded(limited, secret_key=ANOTHER_SECRET, secret_key_fallbacks=SECRET) as try_with:
        assert try_with(old) == 303
    with flooded(limited, secret_key=ANOTHER_SECRET) as try_with:
        assert try_with(old) == 429, "the old key is gone"


def test_a_renewed_device_cookie_uses_the_new_key_and_lists_an_account_once(limited: Callable[..., Site]) -> None:
    old = signed_in_before(limited(), MINJI)
    visitor = at(limited(secret_key=ANOTHER_SECRET, secret_key_fallbacks=SECRET))
    visitor.cookies.set(DEVICE, old, domain="localhost.local", path="/")
    renewed = form(visitor, password=PASSWORD).cookies[DEVICE]
    assert len(renewed) == len(old)
    with flooded(limited, secret_key=ANOTHER_SECRET) as try_with:
        assert try_with(renewed) == 303


def test_the_device_cookie_remembers_the_last_five_accounts(limited: Callable[..., Site]) -> None:
    others = [f"number{n}@example.com" for n in range(5)]
    with flooded(limited) as try_with:
        assert try_with(signed_in_before(limited(), MINJI, *others[:4])) == 303
        assert try_with(signed_in_before(limited(), MINJI, *others)) == 429
        assert try_with(signed_in_before(limited(), MINJI, *others[:4], MINJI, others[4])) == 303


def test_the_device_cookie_does_not_sign_in_and_gets_one_limit(limited: Callable[..., Site], backend: Backend) -> None:
    site = limited(login_limit_per_account_and_ip="3/5minutes", login_limit_per_account="5/hour")
    thief = at(site, "198.51.100.1")
    thief.cookies.set(DEVICE, signed_in_before(site, MINJI), domain="localhost.local", path="/")
    assert not thief.is_signed_in
    before = len(backend.asked)
    statuses = []
    for n in range(6):
        thief.headers["X-Forwarded-For"] = f"198.51.100.{n}"  # the device is counted wherever it is
        statuses.append(form(thief).status_code)
    assert statuses == [401] * 3 + [429] * 3
    assert len(backend.asked) - before == 3


def test_the_device_cookie_does_not_reveal_the_account(limited: Callable[..., Site]) -> None:
    site = limited()
    visitor = at(site)
    assert DEVICE not in str(set_cookies(form(visitor))), "nobody has signed in"
    (line,) = (line for line in set_cookies(form(visitor, password=PASSWORD)) if line.startswith(DEVICE))
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=31536000"} <= set(line.split("; "))
    assert "Domain" not in line
    assert "minji" not in line


# --- Memory and time


def test_the_memory_storage_keeps_the_most_recently_used_keys() -> None:
    storage = BoundedMemoryStorage(Clock(), max_keys=1000)

    async def guess() -> None:
        assert await storage.acquire_entry("the first", 2, 3600)
        for n in range(2000):
            await storage.acquire_entry(str(n), 2, 3600)
            if n % 100 == 0:
                await storage.get_moving_window("the first", 2, 3600)
        assert (await storage.get_moving_window("the first", 2, 3600))[1] == 1, "asked about all the time"
        assert (await storage.get_moving_window("0", 2, 3600))[1] == 0, "nobody has asked about it since"
        assert await storage.reset() == 1000

    wait_for(guess())


@pytest.mark.corpus
def test_an_unknown_address_takes_as_long_as_a_wrong_password(limited: Callable[..., Site]) -> None:
    site = limited()
    visitor = at(site)
    token = visitor.csrf_token()

    def seconds(email: str) -> float:
        began = time.perf_counter()
        fields = {"csrfToken": token, "email": email, "password": "wrong"}
        assert visitor.post("/auth/login/email", data=fields).status_code == 401
        return time.perf_counter() - began

    pairs = [(seconds(MINJI), seconds(f"nobody{n}@example.com")) for n in range(200)]
    known, unknown = (statistics.median(one) for one in zip(*pairs, strict=True))
    assert abs(known - unknown) < 0.005


# --- Settings

BAD_RATES = [
    "0/minute",
    "5",
    "5/",
    "/minute",
    "5/0minutes",
    "-5/minute",
    "5/fortnight",
    "5 per minute",
    "5/minute;9/day",
]
BAD_RATES += ["9999999999/minute", "5/9999minutes", "٥/minute", "1e3/minute", "5/minutess"]
BAD_STATES = ["redis://", "redis://:0", "http://h:1", "memory", "memory://", "redis:///0", "redis://h:99999"]
BAD_STATES += [
    "redis://[::1",
    "unix:///run/redis.sock",
    "redis+cluster://h:7000,",
    "redis+sentinel://h:1",
    "memcached://h",
]
GOOD_STATES = [
    "redis://h",
    "redis://u:p@h:6379/0",
    "rediss://h:1/2",
    "redis+cluster://a:1,b:2",
    "redis://[::1]:1",
]


@pytest.mark.parametrize("text", BAD_RATES)
def test_an_invalid_limit_is_a_settings_error(text: str) -> None:
    with pytest.raises(SettingsError, match="LOGIN_LIMIT_PER_ACCOUNT_AND_IP must be written like 30/minute"):
        make_settings(login_limit_per_account_and_ip=text)


@pytest.mark.parametrize("text", BAD_STATES)
def test_an_invalid_redis_url_is_a_settings_error(text: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL must be redis://"):
        make_settings(redis_url=text)


@pytest.mark.parametrize("text", GOOD_STATES)
def test_a_redis_url_may_be_one_server_or_a_cluster(text: str) -> None:
    assert settings_readers.redis_url(text) == text


def test_the_redis_password_is_not_in_errors_or_the_repr() -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(redis_url="http://:hunter2@h:1")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(make_settings(redis_url="redis://:hunter2@h:1"))
