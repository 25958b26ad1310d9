"""The next step of a sign-in: the journey, and what must not work."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from dev.backend import PASSWORD
from dev.next_steps import CODE, EXPIRED_CODE, RECOVERY_CODE
from services.limits.rate_limiter import MAX_CODES, MAX_RESENDS
from services.pending_sign_ins import MAX_AGE_SECONDS
from services.sealing import Sealer
from tests.support.faulty_backend import FaultyBackend, faulty_backend, http_response, keep_alive
from tests.support.redirects import destination
from tests.support.redis_server import redis_server
from tests.support.site import SECRET, ManualClock, Page, Site, SiteMaker, Visitor, cookie_names, set_cookies

STEN, IDA = "nextstep@example.com", "identity@example.com"
VERIFY, PENDING, TRUSTED = "/auth/login/verify", "munjigi.pending", "munjigi.trusted"
CLOCK = ManualClock()


@pytest.fixture
def site(shared_site: SiteMaker) -> Iterator[Site]:
    yield shared_site(clock=CLOCK)
    CLOCK.advance(MAX_AGE_SECONDS)  # counts and waits of a test do not reach the next one


def waiting(site: Site, account: str = STEN, **fields: str) -> Visitor:
    """A visitor whose sign-in waits for a next step."""
    visitor = site.new_visitor()
    response = visitor.sign_in(account, **fields)
    assert (response.status_code, response.headers["Location"].partition("?")[0]) == (303, f"{site.url}{VERIFY}")
    return visitor


def enter(visitor: Visitor, code: str = CODE, **fields: str) -> requests.Response:
    return visitor.submit(VERIFY, {"code": code, **fields})


def wrong_page(response: requests.Response, status: int, words: str) -> Page:
    page = Page(response)
    assert (page.status, words in page.message) == (status, True), page.message
    return page


def assert_must_start_again(site: Site, visitor: Visitor, response: requests.Response) -> None:
    assert response.status_code == 303
    assert response.headers["Location"].startswith(f"{site.url}/auth/login/email?error=AttemptExpired")
    assert not visitor.is_signed_in


# --- The journey


def test_a_code_signs_in_and_leads_to_where_the_person_was_going(site: Site) -> None:
    visitor = waiting(site, callbackUrl="/account")
    assert not visitor.is_signed_in
    page = visitor.get_page(f"{VERIFY}?callbackUrl=/account")
    assert page.heading == "Enter the code"
    assert "010-****-1010" in page.text
    field = page.find_all("input[@id='code']")[0]
    assert (field.get("autocomplete"), field.get("inputmode")) == ("one-time-code", "numeric")
    response = enter(visitor, callbackUrl=page.input_value("callbackUrl") or "")
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    assert visitor.get_session()["user"]["email"] == STEN
    assert PENDING not in visitor.cookies


@pytest.mark.parametrize(
    "typed", ["123 456", "123-456", " 1 2 3 4 5 6 ", "１２３４５６", "123\u2013456", "\u200b123456"]
)
def test_a_code_is_read_however_it_was_pasted(site: Site, typed: str) -> None:
    visitor = waiting(site)
    assert enter(visitor, typed).status_code == 303
    assert visitor.is_signed_in


def test_a_wrong_code_an_old_one_and_none_say_so_at_the_field(site: Site) -> None:
    visitor = waiting(site)
    for code, status, words in (
        ("000000", 401, "This code is wrong"),
        (EXPIRED_CODE, 401, "no longer valid"),
        ("", 422, "Enter the code"),
        ("1" * 65, 422, "too long"),
        ("김민지", 422, "only digits and letters"),
    ):
        page = wrong_page(enter(visitor, code), status, words)
        assert page.find_all("input[@aria-invalid='true']")
        assert page.input_value("code") == ""
    assert not visitor.is_signed_in
    assert enter(visitor).status_code == 303


def test_a_recovery_code_signs_in_instead(site: Site) -> None:
    visitor = waiting(site)
    assert visitor.submit(f"{VERIFY}/method", {"method": "recovery"}).headers["Location"] == f"{site.url}{VERIFY}"
    page = visitor.get_page(VERIFY)
    assert page.heading == "Enter a recovery code"
    wrong_page(enter(visitor, CODE), 401, "This code is wrong")
    assert enter(visitor, f" {RECOVERY_CODE} ").status_code == 303
    assert visitor.is_signed_in


def test_another_method_is_used_only_if_the_backend_has_offered_it(site: Site) -> None:
    visitor = waiting(site)
    for method in ("app", "../../logout", "", "email"):
        assert visitor.submit(f"{VERIFY}/method", {"method": method}).status_code == 303
        assert "authenticator app" in visitor.get_page(VERIFY).text
    assert enter(visitor).status_code == 303


def test_the_code_that_was_sent_can_still_be_entered_after_another_method_was_looked_at(site: Site) -> None:
    visitor = waiting(site)
    for method, words in (("recovery", "recovery codes"), ("sms", "010-****-1010"), ("app", "app"), ("sms", "We sent")):
        assert visitor.submit(f"{VERIFY}/method", {"method": method}).status_code == 303
        assert words in visitor.get_page(VERIFY).text
    assert enter(visitor).status_code == 303


def test_a_new_code_is_sent_after_the_wait_that_the_backend_wants(site: Site) -> None:
    visitor = waiting(site)
    page = wrong_page(visitor.submit(f"{VERIFY}/resend", {}), 429, "a short while ago")
    assert 50 <= int(page.response.headers["Retry-After"]) <= 60
    old = visitor.cookies[PENDING]
    CLOCK.advance(70)
    assert visitor.submit(f"{VERIFY}/resend", {}).status_code == 303
    assert visitor.get_page(VERIFY).status_messages == ["We sent a new code."]
    visitor.cookies.set(PENDING, old, domain="localhost.local", path="/auth/login")
    wrong_page(visitor.submit(f"{VERIFY}/resend", {}), 429, "a short while ago")


def test_codes_are_sent_a_few_times_only(site: Site) -> None:
    visitor = waiting(site)
    statuses = []
    for _ in range(MAX_RESENDS + 1):
        CLOCK.advance(70)
        statuses.append(visitor.submit(f"{VERIFY}/resend", {}).status_code)
    assert statuses == [*[303] * MAX_RESENDS, 429]


@pytest.mark.parametrize("path", [VERIFY, f"{VERIFY}/resend", f"{VERIFY}/method"])
def test_a_form_that_another_tab_has_finished_leads_on_even_if_the_app_redirects_to_another_site(
    site: Site, path: str
) -> None:
    """The CSP's `form-action` covers every redirect after a form, so one of them has to be a page in between."""
    visitor = waiting(site)
    enter(visitor)
    token = visitor.csrf_token()
    response = visitor.post(path, data={"csrfToken": token, "code": CODE, "callbackUrl": "/rooms"})
    assert response.status_code == 200
    login_url = destination(response)
    assert login_url.startswith(f"{site.url}/auth/login/email?")
    assert visitor.get(login_url).headers["Location"] == f"{site.url}/rooms"


def test_cancelling_ends_the_sign_in(site: Site) -> None:
    visitor = waiting(site)
    copy = visitor.cookies[PENDING]
    response = visitor.submit(f"{VERIFY}/cancel", {"callbackUrl": "/account"})
    target = quote(f"{site.url}/account", safe="")
    assert response.headers["Location"] == f"{site.url}/auth/login/email?error=Cancelled&callbackUrl={target}"
    visitor.cookies.set(PENDING, copy, domain="localhost.local", path="/auth/login")
    assert_must_start_again(site, visitor, enter(visitor))


def test_a_browser_that_is_trusted_is_not_asked_again(site: Site) -> None:
    visitor = waiting(site)
    assert visitor.get_page(VERIFY).find_all("input[@name='trust']")
    assert TRUSTED in cookie_names(enter(visitor, trust="1"))
    visitor.submit("/auth/logout", {})
    assert visitor.sign_in(STEN).headers["Location"] == f"{site.url}/"
    assert visitor.is_signed_in
    visitor.submit("/auth/logout", {})
    assert visitor.sign_in(IDA).headers["Location"] == f"{site.url}{VERIFY}"  # the trust is of one account


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_of_two_trust_cookies_the_one_that_was_written_last_counts(site: Site, is_first: bool) -> None:
    """An older one, of another path or domain, cannot be deleted."""
    old = {"tokens": {"another account": "stale"}, "expires_at": int(CLOCK.time()) + 3600}
    stale = Sealer([SECRET], "trusted browser").seal(TRUSTED, old).decode()
    visitor = waiting(site)
    enter(visitor, trust="1")
    visitor.submit("/auth/logout", {})
    newest = visitor.cookies[TRUSTED]
    copies = [stale, newest] if is_first else [newest, stale]
    others = [f"{cookie.name}={cookie.value}" for cookie in visitor.cookies if cookie.name != TRUSTED]
    header = "; ".join([*(f"{TRUSTED}={copy}" for copy in copies), *others])
    fields = {"csrfToken": visitor.csrf_token(), "email": STEN, "password": PASSWORD}
    response = visitor.post("/auth/login/email", data=fields, headers={"Cookie": header})
    assert response.headers["Location"] == f"{site.url}/"


def test_a_browser_is_not_trusted_unless_the_person_wants_it(site: Site) -> None:
    visitor = waiting(site)
    assert TRUSTED not in cookie_names(enter(visitor))
    visitor.submit("/auth/logout", {})
    assert visitor.sign_in(STEN).headers["Location"] == f"{site.url}{VERIFY}"


def test_a_page_of_the_backend_leads_out_and_back(site: Site) -> None:
    backend_url = site.app.extensions["munjigi"].settings.backend_url
    visitor = waiting(site, IDA)
    (link,) = [one.get("href") for one in visitor.get_page(VERIFY).find_all("a[@class='button button-primary']")]
    assert link.startswith(f"{backend_url}/identity-check?challenge=")
    wrong_page(enter(visitor, ""), 401, "not finished yet")
    requests.get(link, timeout=30).raise_for_status()
    page = visitor.get_page(f"{VERIFY}/return?code=a-b.c")
    assert not visitor.is_signed_in  # a GET finishes nothing
    assert page.texts("button")[0] == "Continue"
    assert page.input_value("code") == "a-b.c"
    assert enter(visitor, "a-b.c").status_code == 303
    assert visitor.is_signed_in


def test_the_page_in_another_language_has_the_code_of_the_backends_page_too(site: Site) -> None:
    visitor = waiting(site, IDA)
    page = visitor.get_page(f"{VERIFY}/return?code=a-b.c")
    for link in page.find_all("nav[@class='languages']//a"):
        assert visitor.get_page(link.get("href")).input_value("code") == "a-b.c"


def test_an_address_that_is_not_allowed_is_never_on_a_page(shared_site: SiteMaker) -> None:
    visitor = shared_site(backend_next_step_urls=None).new_visitor()
    page = Page(visitor.sign_in(IDA))
    assert (page.status, "identity-check" in page.text) == (502, False)
    assert PENDING not in visitor.cookies


def test_next_auths_client_gets_the_url_of_the_page(site: Site) -> None:
    visitor = site.new_visitor()
    fields = {"email": STEN, "password": "correct-horse", "json": "true", "callbackUrl": "/account"}
    response = visitor.submit("/api/auth/callback/email", fields)
    assert response.status_code == 200
    assert response.json()["url"].startswith(f"{site.url}{VERIFY}?callbackUrl=")
    assert "error" not in response.json()["url"]
    assert not visitor.is_signed_in
    assert enter(visitor).status_code == 303


CUSTOM = {
    "backend": "custom",
    "backend_login": "POST /login",
    "backend_token": "token",
    "backend_user": "GET /me",
    "backend_meanings": "202 step=otp next_step; 400 code=OLD code_expired; 400 code=GONE step_over",
    "backend_next_step_methods": "channel",
    "backend_next_step_sent_to": "to",
    "backend_next_step_resend_after": "wait",
    "backend_next_step_challenge": "cookie:JSESSIONID",
    "backend_next_step_challenge_send": "cookie:JSESSIONID",
    "backend_verify": "POST /otp",
    "backend_verify_body": "otp={code}",
    "backend_resend": "POST /otp/again",
    "backend_resend_body": "by={method}",
}


def test_settings_describe_the_next_step_of_any_backend(shared_site: SiteMaker, server: FaultyBackend) -> None:
    server.reset()
    step = {"step": "otp", "channel": "sms", "to": "010-****-77", "wait": 5}
    server.responses["/login"] = keep_alive(http_response(step, 202, Set_Cookie="JSESSIONID=a1b2; HttpOnly"))
    server.responses["/otp"] = keep_alive(http_response({"code": "OLD"}, 400))
    server.responses["/otp/again"] = keep_alive(http_response({"wait": 7}, 200))
    server.responses["/me"] = keep_alive(http_response({"id": 7, "email": STEN}, 200))
    visitor = shared_site(server.url, clock=CLOCK, **CUSTOM).new_visitor()
    assert visitor.sign_in().status_code == 303
    assert "010-****-77" in visitor.get_page(VERIFY).text
    CLOCK.advance(40)
    assert visitor.submit(f"{VERIFY}/resend", {}).status_code == 303
    assert (server.calls[-1].json, server.calls[-1].headers["Cookie"]) == ({"by": "sms"}, "JSESSIONID=a1b2")
    wrong_page(enter(visitor), 401, "no longer valid")
    server.responses["/otp"] = keep_alive(http_response({"token": "t1"}, 200))
    assert enter(visitor).status_code == 303
    sent = next(call for call in reversed(server.calls) if call.path == "/otp")
    assert (sent.json, sent.headers["Cookie"]) == ({"otp": CODE}, "JSESSIONID=a1b2")
    assert visitor.is_signed_in


def test_one_step_may_follow_another(shared_site: SiteMaker, server: FaultyBackend) -> None:
    server.reset()
    server.responses["/login"] = keep_alive(http_response({**FIRST, "methods": ["sms"]}, 200))
    second = {"two_factor": True, "methods": ["app"]}  # the challenge stays the same
    server.responses["/two-factor-challenge"] = keep_alive(http_response(second, 200))
    server.responses["/user"] = keep_alive(http_response({"data": {"user": {"id": 7, "email": STEN}}}, 200))
    visitor = shared_site(server.url, backend_next_step_urls="https://verify.example.com").new_visitor()
    visitor.sign_in(callbackUrl="/account")
    first_cookie = visitor.cookies[PENDING]
    response = enter(visitor, callbackUrl="/account")
    assert (response.status_code, "callbackUrl=" in response.headers["Location"]) == (303, True)
    assert not visitor.is_signed_in
    assert "authenticator app" in visitor.get_page(VERIFY).text
    wrong_page(enter(visitor), 401, "This code is wrong")  # the same step again
    token = {"data": {"token": {"plainTextToken": "17|made-up"}}}
    server.responses["/two-factor-challenge"] = keep_alive(http_response(token, 200))
    second_cookie = visitor.cookies[PENDING]
    visitor.cookies.set(PENDING, first_cookie, domain="localhost.local", path="/auth/login")
    assert "AttemptExpired" in enter(visitor).headers["Location"]  # the first step is over
    visitor.cookies.set(PENDING, second_cookie, domain="localhost.local", path="/auth/login")
    assert enter(visitor).status_code == 303
    assert visitor.is_signed_in


# --- What must not work


def test_a_get_continues_nothing(site: Site) -> None:
    visitor = waiting(site)
    for path in (f"{VERIFY}?code={CODE}", f"{VERIFY}/return?code={CODE}", f"{VERIFY}?code={CODE}&method=sms"):
        assert visitor.get(path).status_code == 200
    for path in ("resend", "method", "cancel"):
        assert visitor.get(f"{VERIFY}/{path}").status_code == 405
    assert not visitor.is_signed_in
    assert enter(visitor).status_code == 303


def test_a_pending_sign_in_works_once(site: Site) -> None:
    visitor = waiting(site)
    copy = visitor.cookies[PENDING]
    assert enter(visitor).status_code == 303
    visitor.submit("/auth/logout", {})
    visitor.cookies.set(PENDING, copy, domain="localhost.local", path="/auth/login")
    assert_must_start_again(site, visitor, enter(visitor))


def test_a_copy_is_refused_although_the_backend_would_accept_it(site: Site) -> None:
    visitor = waiting(site)
    copy = visitor.cookies[PENDING]
    visitor.submit(f"{VERIFY}/cancel", {})  # the backend does not learn of it
    visitor.cookies.set(PENDING, copy, domain="localhost.local", path="/auth/login")
    assert_must_start_again(site, visitor, enter(visitor))


def test_it_is_good_for_ten_minutes(site: Site) -> None:
    visitor, other = waiting(site), waiting(site)
    CLOCK.advance(MAX_AGE_SECONDS - 30)
    assert enter(visitor).status_code == 303
    CLOCK.advance(60)
    assert_must_start_again(site, other, enter(other))


def test_another_browsers_pending_sign_in_is_none(site: Site) -> None:
    victim, attacker = waiting(site), site.new_visitor()
    attacker.csrf_token()
    attacker.cookies.set(PENDING, victim.cookies[PENDING], domain="localhost.local", path="/auth/login")
    assert_must_start_again(site, attacker, enter(attacker))
    assert enter(victim).status_code == 303


def test_a_sign_in_in_the_same_browser_ends_it(site: Site) -> None:
    visitor = waiting(site)
    assert visitor.sign_in().status_code == 303
    assert destination(enter(visitor)).startswith(f"{site.url}/auth/login/email?error=AttemptExpired")
    assert visitor.get_session()["user"]["email"] == "minji@example.com"


def sealed(name: str, value: object, purpose: str = "pending sign-in", key: str = SECRET) -> str:
    return Sealer([key], purpose).seal(name, value).decode()


STEP = {"methods": {"app": "app"}, "challenge": "x"}
VALID = {"provider": "email", "account": STEN, "step": STEP, "method": "app", "expires_at": 4_000_000_000, "id": "x"}
FORGED: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "a word": lambda _: "pending",
    "a changed one": lambda real: f"{real[:-6]}AAAAA=",
    "half of one": lambda real: real[: len(real) // 2],
    "of another key": lambda _: sealed(PENDING, VALID, key="another-secret-that-is-long-enough"),
    "of another purpose": lambda _: sealed(PENDING, VALID, purpose="refresh token"),
    "of another name": lambda _: sealed("munjigi.trusted", VALID),
    "a list": lambda _: sealed(PENDING, []),
    "without a step": lambda _: sealed(PENDING, {**VALID, "step": None}),
    "with an unknown method": lambda _: sealed(PENDING, {**VALID, "step": {"methods": {"app": "magic"}}}),
    "with more": lambda _: sealed(PENDING, {**VALID, "is_done": True}),
    "not ASCII": lambda _: "\xe9",
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_or_damaged_cookie_is_none(site: Site, kind: str) -> None:
    visitor = waiting(site)
    forged = FORGED[kind](visitor.cookies[PENDING])
    others = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items() if name != PENDING)
    token = visitor.csrf_token()
    client = site.app.test_client(use_cookies=False)
    cookies = f"{others}; {PENDING}={forged}"
    response = client.post(VERIFY, data={"csrfToken": token, "code": CODE}, headers={"Cookie": cookies})
    assert response.status_code == 303
    assert "error=AttemptExpired" in response.headers["Location"]
    assert client.get(VERIFY, headers={"Cookie": cookies}).status_code == 303


def test_a_pending_sign_in_is_no_session_and_no_trust(site: Site) -> None:
    visitor = waiting(site)
    value = visitor.cookies[PENDING]
    for name in ("next-auth.session-token", TRUSTED, "munjigi.visitor"):
        other = site.new_visitor()
        other.cookies.set(name, value, domain="localhost.local", path="/")
        assert not other.is_signed_in
        assert other.sign_in(STEN).headers["Location"] == f"{site.url}{VERIFY}"


def test_codes_cannot_be_guessed(site: Site) -> None:
    visitor = waiting(site)
    first_cookie = visitor.cookies[PENDING]
    for number in range(MAX_CODES):
        visitor.cookies.set(PENDING, first_cookie, domain="localhost.local", path="/auth/login")
        wrong_page(enter(visitor, f"00000{number}"), 401, "This code is wrong")
    page = wrong_page(enter(visitor), 429, "Too many wrong codes")
    assert page.heading == "Sign in"
    visitor.cookies.set(PENDING, first_cookie, domain="localhost.local", path="/auth/login")
    assert_must_start_again(site, visitor, enter(visitor))


def test_codes_are_counted_over_all_sign_ins_of_an_account(make_site: SiteMaker) -> None:
    site = make_site(login_limit_per_account="7/hour")
    statuses = []
    for _ in range(2):
        visitor = waiting(site)
        statuses += [enter(visitor, "000000").status_code for _ in range(4)]
    assert statuses == [*[401] * 7, 429]
    owner = waiting(site)
    wrong_page(enter(owner), 429, "Too many attempts")


def test_wrong_codes_do_not_use_up_the_sign_ins(make_site: SiteMaker) -> None:
    site = make_site(login_limit_per_account_and_ip="5/5minutes")
    for _ in range(3):
        visitor = waiting(site)
        enter(visitor, "000000")
    assert enter(visitor).status_code == 303
    assert [waiting(site).get(VERIFY).status_code for _ in range(5)] == [200] * 5


def test_without_the_csrf_token_nothing_continues(site: Site) -> None:
    visitor = waiting(site)
    for path in ("", "/resend", "/method", "/cancel"):
        assert visitor.post(f"{VERIFY}{path}", data={"code": CODE, "method": "app"}).status_code == 400
    page = wrong_page(visitor.post(VERIFY, data={"code": CODE}), 400, "open for too long")
    assert page.heading == "Enter the code"
    response = visitor.submit(VERIFY, {"code": CODE}, headers={"Origin": "https://evil.example"})
    wrong_page(response, 400, "another web address")
    assert not visitor.is_signed_in
    assert enter(visitor).status_code == 303


def test_neither_challenge_nor_password_is_in_a_page_or_readable_in_a_cookie(site: Site) -> None:
    visitor = waiting(site)
    challenges = site.backend.extensions["next_steps"]._waiting if site.backend else {}
    assert challenges
    text = visitor.get(VERIFY).text + str(visitor.cookies.get_dict())
    assert [one for one in (*challenges, "correct-horse", STEN) if one in str(visitor.cookies.get_dict())] == []
    assert [one for one in challenges if one in text] == []


def test_no_code_challenge_or_password_is_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    visitor = waiting(site)
    enter(visitor, "774411")
    visitor.get(f"{VERIFY}/return?code=a-code-of-the-page")
    enter(visitor)
    logged = "\n".join(str(vars(record)) for record in caplog.records if record.name.startswith("munjigi"))
    assert "sign_in_pending" in logged
    secrets = ("774411", f"'{CODE}'", "a-code-of-the-page", "correct-horse", visitor.cookies.get(TRUSTED) or "none")
    assert [secret for secret in secrets if secret in logged] == []


@pytest.mark.external
def test_processes_that_share_a_redis_refuse_what_one_of_them_has_ended(
    make_site: SiteMaker, site: Site, tmp_path: Path
) -> None:
    backend_url = site.app.extensions["munjigi"].settings.backend_url
    with redis_server(tmp_path) as redis:
        one, other = (make_site(backend_url, redis_url=redis.url) for _ in range(2))
        visitor = waiting(one)
        copy = dict(visitor.cookies)
        assert visitor.submit(f"{VERIFY}/cancel", {}).status_code == 303
        elsewhere = other.new_visitor()
        for name, value in copy.items():
            elsewhere.cookies.set(name, value, domain="localhost.local", path="/")
        assert_must_start_again(other, elsewhere, enter(elsewhere))


# --- What backends may answer


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


FIRST = {"two_factor": True, "challenge": "c", "methods": ["app"]}
ODD_STEPS: list[tuple[dict[str, Any], int]] = [
    ({}, 303),
    ({"challenge": None}, 403),
    ({"challenge": ["c"]}, 403),
    ({"challenge": "c" * 2501}, 403),
    ({"challenge": 77}, 303),
    ({"methods": []}, 303),
    ({"methods": ["webauthn"]}, 403),
    ({"methods": {"app": 1}}, 303),
    ({"methods": ["app"] * 5000}, 303),
    ({"sent_to": "\u202e<b>" + "x" * 5000}, 303),
    ({"sent_to": ["a"], "resend_after": {}}, 303),
    ({"resend_after": -5}, 303),
    ({"resend_after": "soon"}, 303),
    ({"resend_after": 1e300}, 303),
    ({"url": "https://evil.example/"}, 502),
    ({"url": "javascript:alert(1)"}, 502),
    ({"url": "https://verify.example.com.evil.example/"}, 502),
    ({"url": "https://verify.example.com@evil.example/"}, 502),
    ({"url": "https://verify.example.com\\@evil.example/"}, 502),
    ({"url": "//verify.example.com/"}, 502),
    ({"url": "http://verify.example.com/"}, 502),
    ({"url": "https://verify.example.com:444/"}, 502),
    ({"url": "https://verify.example.com/a b\r\nSet-Cookie: x=1"}, 502),
    ({"url": 'https://verify.example.com/start?id="><script>'}, 303),
]


@pytest.mark.parametrize(("changes", "status"), ODD_STEPS, ids=lambda value: str(value)[:50])
def test_an_odd_step_is_shown_or_refused_but_no_error_of_the_server(
    shared_site: SiteMaker, server: FaultyBackend, changes: dict[str, Any], status: int
) -> None:
    server.reset()
    server.responses["/login"] = keep_alive(http_response({**FIRST, **changes}, 200))
    site = shared_site(server.url, backend_next_step_urls="https://verify.example.com")
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == status
    page = visitor.get(VERIFY)
    assert page.status_code == (200 if status == 303 else 303)
    if status == 303:
        Page(page)
        assert "evil" not in page.text
        assert "<script>" not in page.text


ODD_ANSWERS = [
    (401, {"message": "no"}, 401),
    (400, "text", 401),
    (200, {}, 502),
    (200, [], 502),
    (200, {"data": {"token": {"plainTextToken": "a b"}}}, 502),
    (500, {}, 502),
    (503, {}, 503),
    (429, {}, 429),
    (403, {"message": "no"}, 403),
    (404, {"message": "gone"}, 400),
]


@pytest.mark.parametrize(("status", "body", "expected"), ODD_ANSWERS)
def test_an_odd_answer_to_a_code_signs_nobody_in(
    shared_site: SiteMaker, server: FaultyBackend, status: int, body: Any, expected: int
) -> None:
    server.reset()
    server.responses["/login"] = keep_alive(http_response(FIRST, 200))
    server.responses["/two-factor-challenge"] = keep_alive(http_response(body, status))
    visitor = shared_site(server.url, backend_next_step_urls="https://verify.example.com").new_visitor()
    assert visitor.sign_in().status_code == 303
    response = enter(visitor)
    assert response.status_code == expected
    Page(response)
    assert not visitor.is_signed_in


def test_a_token_whose_user_cannot_be_read_is_revoked_and_the_code_is_used_up(
    shared_site: SiteMaker, server: FaultyBackend
) -> None:
    server.reset()
    server.responses["/login"] = keep_alive(http_response(FIRST, 200))
    token = {"data": {"token": {"plainTextToken": "17|made-up"}}}
    server.responses["/two-factor-challenge"] = keep_alive(http_response(token, 200))
    server.responses["/user"] = keep_alive(http_response({}, 500))
    server.responses["/logout"] = keep_alive(http_response({}, 204))
    visitor = shared_site(server.url, backend_next_step_urls="https://verify.example.com").new_visitor()
    visitor.sign_in()
    page = wrong_page(enter(visitor), 502, "not responding")
    assert page.heading == "Sign in"
    assert server.calls[-1].path == "/logout"
    assert not visitor.is_signed_in


def test_the_password_is_sealed_only_for_a_backend_that_wants_it_again(
    shared_site: SiteMaker, server: FaultyBackend
) -> None:
    server.reset()
    server.responses["/login"] = keep_alive(http_response(FIRST, 200))
    with_it = shared_site(server.url, backend_verify_body="challenge={challenge} code={code} password={password}")
    without = shared_site(server.url, backend_next_step_urls="https://verify.example.com")
    kept = []
    for site in (with_it, without):
        visitor = site.new_visitor()
        visitor.sign_in(password="hunter2-hunter2")
        value: Any = Sealer([SECRET], "pending sign-in").open(PENDING, visitor.cookies[PENDING].encode())
        kept.append(value.get("password"))
    assert kept == ["hunter2-hunter2", None]


def test_a_cookie_of_an_https_site_has_its_attributes(shared_site: SiteMaker) -> None:
    visitor = shared_site(clock=CLOCK).new_visitor()
    (line,) = [line for line in set_cookies(visitor.sign_in(STEN)) if line.startswith(PENDING)]
    assert {"HttpOnly", "Path=/auth/login", "SameSite=Lax", f"Max-Age={MAX_AGE_SECONDS}"} <= {*line.split("; ")}
