"""A new account after a provider, for which the backend wants further fields: the journey, and what must not work."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from services.limits.rate_limiter import MAX_SIGN_UPS
from services.pending_sign_ins import MAX_AGE_SECONDS
from tests.support.faulty_backend import FaultyBackend, faulty_backend, http_response, keep_alive
from tests.support.issuer import ACCESS_TOKEN, SUBJECT, Issuer, running_issuer, send_callback, start_sign_in
from tests.support.redirects import destination
from tests.support.scripted import USER
from tests.support.site import ManualClock, Page, Site, SiteMaker, Visitor, cookie_names

PAGE, PENDING, LOGIN = "/auth/login/register", "munjigi.pending", "/auth/login/email"
SOCIAL, REGISTER = "/login/social/callback/oidc", "/login/social/register"
CHALLENGE = "made-up-challenge"
TERMS = 'terms:checkbox="I agree to the terms;ko=약관에 동의합니다" profile.birthday:date="Date of birth" company?'
WANTED = {"register": True, "challenge": CHALLENGE, "fields": ["name", "email", "phone", "terms"]}
TYPED = {"name": "김하늘", "email": "Haneul@Example.com", "phone": "010-1234 5678", "terms": "on"}
TOKEN = {"data": {"token": {"plainTextToken": "17|made-up"}}}
CLOCK = ManualClock()


@dataclass
class Setup:
    site: Site
    server: FaultyBackend
    issuer: Issuer

    def answer(self, path: str, body: object, status: int = 200) -> None:
        self.server.responses[path] = keep_alive(http_response(body, status))

    def wants(self, status: int = 422, **changes: object) -> None:
        """Let the backend want fields at the sign-in with the provider."""
        self.answer(SOCIAL, {**WANTED, **changes}, status)

    def callback(self, visitor: Visitor, **fields: str) -> requests.Response:
        return send_callback(visitor, start_sign_in(visitor, self.issuer, **fields))

    def waiting(self, **fields: str) -> Visitor:
        """A visitor whose sign-in waits for the fields."""
        visitor = self.site.new_visitor()
        response = self.callback(visitor, **fields)
        assert response.status_code == 303
        assert response.headers["Location"].partition("?")[0] == f"{self.site.url}{PAGE}"
        return visitor

    def sent(self, path: str = REGISTER) -> list[Any]:
        return [call.json for call in self.server.calls if call.path == path]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


def a_setup(shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer, **settings: Any) -> Setup:
    server.reset()
    issuer.reset()
    issuer.clock = CLOCK
    settings = {"register_fields": TERMS, **issuer.site_settings(), **settings}
    setup = Setup(shared_site(server.url, clock=CLOCK, **settings), server, issuer)
    issuer.extra_claims = {"name": "김하늘", "email": "haneul@example.com", "email_verified": True}
    setup.wants()
    setup.answer(REGISTER, TOKEN, 201)
    setup.answer("/user", {"data": {"user": USER}})
    return setup


@pytest.fixture
def setup(shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer) -> Iterator[Setup]:
    yield a_setup(shared_site, server, issuer)
    CLOCK.advance(MAX_AGE_SECONDS)  # counts of a test do not reach the next one


def send(visitor: Visitor, **changes: str | None) -> requests.Response:
    return visitor.submit(PAGE, {name: text for name, text in {**TYPED, **changes}.items() if text is not None})


def names_of(page: Page) -> list[str]:
    return [str(field.get("name")) for field in page.find_all(f"form[@action='{PAGE}']//input[@id]")]


def assert_must_start_again(setup: Setup, visitor: Visitor, response: requests.Response) -> None:
    assert response.status_code == 303
    assert response.headers["Location"].startswith(f"{setup.site.url}{LOGIN}?error=AttemptExpired")
    assert not visitor.is_signed_in


# --- The journey


@pytest.mark.parametrize("status", [200, 409, 422])
def test_a_person_fills_in_what_is_missing_and_is_signed_in(setup: Setup, status: int) -> None:
    setup.wants(status)
    visitor = setup.waiting(callbackUrl="/account")
    assert not visitor.is_signed_in
    page = visitor.get_page(f"{PAGE}?callbackUrl=/account")
    assert (page.status, page.heading) == (200, "Create an account")
    assert names_of(page) == ["name", "email", "phone", "terms"]
    assert page.find_all("input[@type='password']") == []
    assert (page.input_value("name"), page.input_value("email")) == ("김하늘", "haneul@example.com")
    response = send(visitor, callbackUrl=page.input_value("callbackUrl"))
    assert (response.status_code, response.headers["Location"]) == (303, f"{setup.site.url}/account")
    fields = {"name": "김하늘", "email": "Haneul@example.com", "phone": "01012345678", "terms": True}
    assert setup.sent() == [{"challenge": CHALLENGE, **fields}]
    session = visitor.get_session()
    assert session["user"]["email"] == USER["email"]
    assert PENDING not in visitor.cookies
    assert visitor.get_page("/account").status_messages == ["Your account is created, and you are signed in."]


@pytest.mark.parametrize(("language", "words"), [("ko", "약관에 동의합니다"), ("ja", "アカウントを作成")])
def test_the_page_speaks_the_language_of_the_visitor(setup: Setup, language: str, words: str) -> None:
    visitor = setup.waiting()
    page = visitor.get_page(f"{PAGE}?lang={language}")
    assert words in page.text
    assert "confirmed who you are" not in page.text


def test_fields_are_asked_for_by_any_name_of_theirs_and_are_all_required(setup: Setup) -> None:
    setup.wants(fields=["profile.birthday", "company", "nick_name", "username"])
    visitor = setup.waiting()
    page = visitor.get_page(PAGE)
    assert sorted(names_of(page)) == ["birthday", "company", "nick_name", "username"]
    response = visitor.submit(PAGE, {"birthday": "2001-02-30"})
    assert (response.status_code, len(Page(response).find_all("input[@aria-invalid='true']"))) == (422, 4)
    assert setup.sent() == []
    typed = {"birthday": "2001-02-03", "company": "문지기", "nick_name": "하늘", "username": "haneul"}
    assert visitor.submit(PAGE, typed).status_code == 303
    assert setup.sent()[0]["profile"] == {"birthday": "2001-02-03"}
    assert visitor.is_signed_in


def test_messages_of_the_backend_are_shown_at_their_fields_and_can_be_corrected(setup: Setup) -> None:
    visitor = setup.waiting()
    messages = {"phone": ["This number has an account."], "terms": ["\u202eRead them."]}
    setup.answer(REGISTER, {"message": "Invalid", "errors": messages}, 422)
    page = Page(send(visitor))
    assert (page.status, page.heading) == (422, "Create an account")
    assert "This number has an account." in page.text
    assert "\u202e" not in page.text
    invalid = [field.get("name") for field in page.find_all("input[@aria-invalid='true']")]
    assert invalid == ["phone", "terms"]
    assert page.input_value("email") == TYPED["email"]
    assert not visitor.is_signed_in
    setup.answer(REGISTER, TOKEN, 201)
    assert send(visitor, phone="01099998888").status_code == 303
    assert visitor.is_signed_in


def test_the_backend_may_want_further_fields_again_and_gets_all(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, {**WANTED, "challenge": "second", "fields": ["nick_name"]}, 422)
    response = send(visitor, callbackUrl="/account")
    assert response.headers["Location"].startswith(f"{setup.site.url}{PAGE}?callbackUrl=")
    page = visitor.get_page(PAGE)
    assert sorted(names_of(page)) == ["email", "name", "nick_name", "phone", "terms"]
    assert page.input_value("phone") == "01012345678"
    setup.answer(REGISTER, TOKEN, 201)
    assert send(visitor, nick_name="하늘").status_code == 303
    last = setup.sent()[-1]
    assert (last["challenge"], last["nick_name"], last["phone"]) == ("second", "하늘", "01012345678")


def test_a_second_factor_can_follow(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, {"two_factor": True, "challenge": "c", "methods": ["sms"]}, 200)
    assert send(visitor).headers["Location"].startswith(f"{setup.site.url}/auth/login/verify")
    assert visitor.get(PAGE).headers["Location"] == f"{setup.site.url}/auth/login/verify"
    setup.answer("/two-factor-challenge", TOKEN)
    assert visitor.submit("/auth/login/verify", {"code": "123456"}).status_code == 303
    assert visitor.is_signed_in


def test_an_address_that_has_an_account_leads_to_the_sign_in_page(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, {"message": "Taken"}, 409)
    response = send(visitor, callbackUrl="/account")
    assert response.headers["Location"].startswith(f"{setup.site.url}{LOGIN}?")
    assert "error=OAuthAccountNotLinked" in response.headers["Location"]
    assert_must_start_again(setup, visitor, send(visitor))


def test_an_account_whose_address_has_to_be_verified_first_signs_nobody_in(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, {"message": "Verify"}, 403)
    page = Page(send(visitor))
    assert (page.status, page.heading) == (403, "Sign in")
    assert "not verified" in page.message
    assert not visitor.is_signed_in
    assert PENDING not in visitor.cookies


def test_cancel_ends_it_and_says_so(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    visitor = setup.waiting()
    copy = visitor.cookies[PENDING]
    response = visitor.submit(f"{PAGE}/cancel", {"callbackUrl": "/account"})
    assert response.headers["Location"].startswith(f"{setup.site.url}{LOGIN}?error=Cancelled")
    visitor.cookies.set(PENDING, copy, domain="localhost.local", path="/auth/login")
    assert_must_start_again(setup, visitor, send(visitor))
    assert setup.sent() == []
    assert "sign_in_cancelled" in caplog.messages


def test_the_events_are_in_the_audit_log_and_no_secret_is(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    visitor = setup.waiting()
    send(visitor)
    records = [record for record in caplog.records if record.name.startswith("munjigi")]
    events = [record.message for record in records if record.name == "munjigi.audit"]
    assert events == ["sign_in_pending", "registered", "signed_in"]
    logged = "\n".join(str(vars(record)) for record in records)
    secrets = (CHALLENGE, ACCESS_TOKEN, SUBJECT, "01012345678", "haneul@example.com", "김하늘", "17|made-up")
    assert [secret for secret in secrets if secret in logged] == []


# --- Any other backend, by settings

CUSTOM = {
    "backend": "custom",
    "backend_login": "POST /login",
    "backend_token": "token",
    "backend_user": "GET /me",
    "backend_social": "POST /social",
    "backend_meanings": "409 code=incomplete fields_required",
    "backend_next_step_challenge": "ticket",
    "backend_required_fields": "missing",
    "backend_social_register": "POST /social/sign-up",
    "backend_social_register_body": "ticket={challenge} nickname={nick_name} by={provider} site={site_url}",
}


def test_settings_describe_it_for_any_backend(shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer) -> None:
    setup = a_setup(shared_site, server, issuer, **CUSTOM)
    setup.answer("/social", {"code": "incomplete", "ticket": 77, "missing": ["nickname", "terms"]}, 409)
    setup.answer("/social/sign-up", {"token": "t1"})
    setup.answer("/me", USER)
    visitor = setup.waiting()
    assert names_of(visitor.get_page(PAGE)) == ["nick_name", "terms"]
    assert visitor.submit(PAGE, {"nick_name": "하늘", "terms": "on", "phone": "1", "email": "a@b.c"}).status_code == 303
    sent = {"ticket": "77", "nickname": "하늘", "by": "oidc", "site": setup.site.url, "terms": True}
    assert setup.sent("/social/sign-up") == [sent]
    assert visitor.is_signed_in


def test_the_fields_can_be_those_for_which_the_answer_has_messages(
    shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer
) -> None:
    changes = {"backend_meanings": "422 errors.nickname fields_required", "backend_required_fields": None}
    setup = a_setup(shared_site, server, issuer, **{**CUSTOM, **changes})
    setup.answer("/social", {"ticket": "t", "errors": {"nickname": ["Required."]}}, 422)
    visitor = setup.waiting()
    assert names_of(visitor.get_page(PAGE)) == ["nick_name"]


def test_the_token_of_the_provider_is_kept_only_for_a_backend_that_wants_it_again(
    shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer
) -> None:
    """It is in the sealed cookie: the cookie is longer by its length, and the backend gets it."""
    body = "provider={provider} token={social_token} phone={phone}"
    lengths = []
    for settings in ({"backend_social_register_body": body}, {}):
        setup = a_setup(shared_site, server, issuer, **settings)
        setup.wants(fields=["phone"])
        issuer.token_fields = {"access_token": ACCESS_TOKEN * 20}
        visitor = setup.waiting()
        lengths.append(len(visitor.cookies[PENDING]))
        assert ACCESS_TOKEN not in visitor.get(PAGE).text + visitor.cookies[PENDING]
        assert visitor.submit(PAGE, {"phone": "01012345678"}).status_code == 303
        assert setup.sent()[0].get("token") == (ACCESS_TOKEN * 20 if settings else None)
    assert lengths[0] > lengths[1] + len(ACCESS_TOKEN * 20)


def test_without_the_call_the_person_is_told_that_it_cannot_go_on_here(
    shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer
) -> None:
    setup = a_setup(shared_site, server, issuer, backend_social_register="none")
    visitor = setup.site.new_visitor()
    response = setup.callback(visitor)
    assert "error=AccessDenied" in response.headers["Location"]
    assert visitor.get(PAGE).status_code == visitor.submit(PAGE, TYPED).status_code == 404
    assert PENDING not in visitor.cookies


# --- What must not work


def test_it_cannot_be_continued_in_another_browser(setup: Setup) -> None:
    victim = setup.waiting()
    other = setup.site.new_visitor()
    other.get(LOGIN)
    other.cookies.set(PENDING, victim.cookies[PENDING], domain="localhost.local", path="/auth/login")
    assert "AttemptExpired" in other.get(PAGE).headers["Location"]
    assert_must_start_again(setup, other, send(other))
    assert setup.sent() == []
    assert send(victim).status_code == 303


def test_it_is_over_after_ten_minutes(setup: Setup) -> None:
    visitor = setup.waiting()
    CLOCK.advance(MAX_AGE_SECONDS - 30)
    assert visitor.get(PAGE).status_code == 200
    CLOCK.advance(60)
    assert "AttemptExpired" in visitor.get(PAGE).headers["Location"]
    assert setup.sent() == []


def test_it_works_once(setup: Setup) -> None:
    visitor = setup.waiting()
    copy = visitor.cookies[PENDING]
    assert send(visitor).status_code == 303
    again = setup.site.new_visitor()
    for cookie in visitor.cookies:
        if not cookie.name.startswith("next-auth"):
            again.cookies.set_cookie(cookie)
    again.cookies.set(PENDING, copy, domain="localhost.local", path="/auth/login")
    assert_must_start_again(setup, again, send(again))
    assert len(setup.sent()) == 1


@pytest.mark.parametrize(
    ("status", "body"), [(401, {}), (404, {"a": 1}), (410, {"a": 1}), (422, {"errors": {"challenge": ["?"]}})]
)
def test_a_challenge_that_is_over_at_the_backend_starts_again(setup: Setup, status: int, body: Any) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, body, status)
    page = Page(send(visitor))
    assert (page.status, page.heading) == (400, "Sign in")
    assert_must_start_again(setup, visitor, send(visitor))


def test_a_get_changes_nothing_and_a_post_needs_the_csrf_token(setup: Setup) -> None:
    visitor = setup.waiting()
    assert visitor.get(PAGE, params=TYPED).status_code == 200
    for path in ("", "/cancel"):
        assert visitor.post(f"{PAGE}{path}", data=TYPED).status_code == 400
    page = Page(visitor.post(PAGE, data=TYPED))
    assert (page.heading, "open for too long" in page.message) == ("Create an account", True)
    assert (
        "another web address" in Page(visitor.submit(PAGE, TYPED, headers={"Origin": "https://evil.example"})).message
    )
    assert setup.sent() == []
    assert send(visitor).status_code == 303


def test_the_pages_of_the_next_step_and_of_the_fields_are_not_mixed_up(setup: Setup) -> None:
    visitor = setup.waiting()
    for path in ("", "/return"):
        assert visitor.get(f"/auth/login/verify{path}").headers["Location"] == f"{setup.site.url}{PAGE}"
    for path in ("", "/resend", "/method", "/cancel"):
        response = visitor.submit(f"/auth/login/verify{path}", {"code": "123456", "method": "sms"})
        assert response.status_code == 303
    assert send(visitor).status_code == 303


def test_forms_are_counted(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, {"errors": {"phone": ["Taken."]}}, 422)
    statuses = [send(visitor, phone=f"010{number:08}").status_code for number in range(MAX_SIGN_UPS + 1)]
    assert statuses == [*[422] * MAX_SIGN_UPS, 429]
    assert len(setup.sent()) == MAX_SIGN_UPS


def test_addresses_to_which_mails_go_are_counted_like_those_of_other_forms(
    shared_site: SiteMaker, server: FaultyBackend, issuer: Issuer
) -> None:
    setup = a_setup(shared_site, server, issuer, mail_limit_per_account="2/hour")
    setup.answer(REGISTER, {"errors": {"phone": ["Taken."]}}, 422)
    statuses = [send(setup.waiting(), email=text).status_code for text in ("v@a.kr", "V@a.kr ", "\u200bv@a.kr")]
    assert statuses == [422, 422, 429]


def test_a_confirmed_session_creates_no_account(setup: Setup) -> None:
    setup.answer(SOCIAL, TOKEN)
    visitor = setup.site.new_visitor()
    setup.callback(visitor)
    assert visitor.is_signed_in
    setup.wants()
    params = start_sign_in(visitor, setup.issuer, confirm="true")
    issuer_claims = setup.issuer.extra_claims
    setup.issuer.extra_claims = {**issuer_claims, "auth_time": int(CLOCK.time())}
    response = send_callback(visitor, params)
    assert PENDING not in cookie_names(response)
    assert "error=AccountMismatch" in response.headers["Location"]


TARGETS = ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example", "\x00"]


@pytest.mark.parametrize("target", TARGETS)
def test_it_leads_to_no_other_site(setup: Setup, target: str) -> None:
    visitor = setup.waiting()
    assert "evil" not in visitor.get(f"{PAGE}", params={"callbackUrl": target}).text.replace("&amp;", "&")
    response = send(visitor, callbackUrl=target)
    assert destination(response).startswith(f"{setup.site.url}/")
    assert "evil" not in visitor.submit(f"{PAGE}/cancel", {"callbackUrl": target}).headers["Location"]


HOSTILE: list[dict[str, str]] = [
    {"name": "x" * 100_000},
    {"name": "\u202e\u200b"},
    {"name": "<script>alert(1)</script>\nx"},
    {"email": "a@b\r\nBcc: c@d"},
    {"email": "@"},
    {"phone": "１" * 40},
    {"phone": "\U0001f480"},
    {"name": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "phone": ""},
    {"challenge": "other", "provider": "../../x", "social_token": "x", "token": "x", "phone": "1"},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda changes: str(changes)[:40])
def test_hostile_fields_are_refused_or_sent_as_data(setup: Setup, changes: dict[str, str]) -> None:
    visitor = setup.waiting()
    response = send(visitor, **changes)
    assert response.status_code in (413, 422)
    assert "<script>" not in response.text
    assert setup.sent() == []
    assert send(visitor, **{name: text for name, text in changes.items() if name not in TYPED}).status_code == 303
    assert setup.sent()[0]["challenge"] == CHALLENGE
    assert set(setup.sent()[0]) == {"challenge", *TYPED}


@pytest.mark.parametrize("value", ["", "x", "{}", "a.b.c.d.e", "x" * 4000])
def test_a_made_up_cookie_is_no_pending_sign_in(setup: Setup, value: str) -> None:
    visitor = setup.site.new_visitor()
    visitor.cookies.set(PENDING, value, domain="localhost.local", path="/auth/login")
    assert visitor.get(PAGE).status_code == 303
    assert_must_start_again(setup, visitor, send(visitor))


ODD_WISHES: list[tuple[dict[str, Any], str]] = [
    ({"fields": []}, "AccessDenied"),
    ({"fields": None}, "AccessDenied"),
    ({"fields": "phone"}, "AccessDenied"),
    ({"fields": {"phone": 1}}, "AccessDenied"),
    ({"fields": ["shoe_size"]}, "Configuration"),
    ({"fields": ["password"]}, "Configuration"),
    ({"fields": ["challenge"]}, "Configuration"),
    ({"fields": [["phone"]]}, "Configuration"),
    ({"fields": [{"name": "phone"}, None, 7]}, "Configuration"),
    ({"fields": ["<script>" * 500, "\u202e"]}, "Configuration"),
    ({"challenge": None}, "AccessDenied"),
    ({"challenge": ["c"]}, "AccessDenied"),
    ({"challenge": "c" * 2501}, "AccessDenied"),
    ({"challenge": "c" * 2500}, ""),
    ({"fields": ["phone"] * 5000}, ""),
]


@pytest.mark.parametrize(("changes", "code"), ODD_WISHES, ids=lambda value: str(value)[:50])
def test_odd_wishes_of_a_backend_are_shown_or_refused(setup: Setup, changes: dict[str, Any], code: str) -> None:
    setup.wants(**changes)
    setup.issuer.extra_claims = {"name": "가" * 200, "email": f"{'a' * 200}@example.com", "email_verified": True}
    visitor = setup.site.new_visitor()
    response = setup.callback(visitor)
    assert response.status_code == 303
    assert (f"error={code}" in response.headers["Location"]) if code else (PAGE in response.headers["Location"])
    assert visitor.get(PAGE).status_code == (303 if code else 200)


ODD_ANSWERS: list[tuple[int, Any, int]] = [
    (200, {}, 502),
    (200, [], 502),
    (201, {"data": {"token": {"plainTextToken": "a b"}}}, 502),
    (204, b"", 502),
    (302, {}, 502),
    (400, {"message": "no"}, 422),
    (422, {"errors": {"shoe_size": ["?"]}}, 502),
    (422, {"errors": {"phone": [["x"]]}}, 422),
    (422, {"errors": ["x", None, 7]}, 422),
    (422, b"<html>", 502),
    (423, {"a": 1}, 403),
    (429, {}, 429),
    (500, {}, 502),
    (503, {}, 503),
]


@pytest.mark.parametrize(("status", "body", "expected"), ODD_ANSWERS)
def test_odd_answers_sign_nobody_in(setup: Setup, status: int, body: Any, expected: int) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, body, status)
    response = send(visitor)
    assert response.status_code == expected
    Page(response)
    assert not visitor.is_signed_in


def test_a_token_whose_user_cannot_be_read_is_revoked(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer("/user", {}, 500)
    setup.answer("/logout", {}, 204)
    assert send(visitor).status_code == 502
    assert setup.server.calls[-1].path == "/logout"
    assert_must_start_again(setup, visitor, send(visitor))


def test_a_script_gets_json(setup: Setup) -> None:
    visitor = setup.waiting()
    setup.answer(REGISTER, {"errors": {"phone": ["Taken."]}}, 422)
    response = visitor.submit(PAGE, TYPED, headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]) == (422, "InvalidFields")
