"""Sign-up, a forgotten password, verification of an address, another password: against the stand-in backend."""

import logging
from typing import Any
from urllib.parse import urlencode

import pytest

from dev.backend import PASSWORD, Mail
from services.observability import audit
from tests.support.faulty_backend import faulty_backend
from tests.support.issuer import post_callback, running_issuer, send_callback, start_sign_in
from tests.support.scripted import scripted_backend
from tests.support.site import ACCOUNT_PATHS, MINJI, ManualClock, Page, Site, SiteMaker, Visitor

NEW_PASSWORD = "blue-whale-31"
PERSON = {"email": "sora@example.com", "name": "소라", "password": NEW_PASSWORD}
PAGES = {
    "/auth/register": "register",
    "/auth/password/forgot": "forgot",
    "/auth/password/reset": "reset",
    "/auth/email/verify": "verify_email",
    "/auth/email/resend": "resend_verification",
    "/account/password": "change_password",
}


@pytest.fixture
def site(make_site: SiteMaker) -> Site:
    return make_site(clock=ManualClock(), **ACCOUNT_PATHS)


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.new_visitor()


def mails(site: Site) -> list[Mail]:
    assert site.backend
    found: list[Mail] = site.backend.extensions["mails"]
    return found


def signed_up(site: Site) -> Visitor:
    """A person who has signed up and verified their address, signed in."""
    visitor = site.new_visitor()
    visitor.submit("/auth/register", PERSON)
    visitor.submit("/auth/email/verify", {"code": mails(site)[-1].code})
    assert visitor.sign_in(PERSON["email"], NEW_PASSWORD).status_code == 303
    return visitor


# --- Off unless the backend has the call


@pytest.mark.parametrize("path", [*PAGES, "/.well-known/change-password"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_its_call_a_page_is_not_found(shared_site: SiteMaker, path: str, method: str) -> None:
    visitor = shared_site().new_visitor()
    assert visitor.request(method, path, data={"csrfToken": "x"}).status_code == 404
    assert visitor.get_page("/auth/login/email").find_all("ul[@class='link-list']") == []
    visitor.sign_in()
    assert "/account/password" not in visitor.get("/account").text


@pytest.mark.parametrize(("path", "call"), PAGES.items())
def test_a_call_can_be_turned_off(shared_site: SiteMaker, path: str, call: str) -> None:
    settings = {"backend": "fastapi-users", "backend_profile_path": None}
    needed = {"backend_reset": "none"} if call == "forgot" else {}
    site = shared_site(**settings, **{f"backend_{call}": "none"}, **needed)
    assert site.new_visitor().get(path).status_code == 404
    assert shared_site(**settings).new_visitor().get(path).status_code in (200, 303)


def test_links_of_settings_win_and_change_password_leads_to_them(shared_site: SiteMaker) -> None:
    links = {"sign_up_url": "https://example.com/join", "reset_password_url": "https://example.com/password"}
    visitor = shared_site(**ACCOUNT_PATHS, **links).new_visitor()
    shown = [link.get("href") for link in visitor.get_page("/auth/login/email").find_all("ul[@class='link-list']//a")]
    assert shown == [links["reset_password_url"], links["sign_up_url"]]
    only_link = shared_site(reset_password_url=links["reset_password_url"]).new_visitor()
    response = only_link.get("/.well-known/change-password")
    assert (response.status_code, response.headers["Location"]) == (303, links["reset_password_url"])


def test_the_sign_in_page_leads_to_the_pages_and_keeps_the_target(site: Site, visitor: Visitor) -> None:
    page = visitor.get_page("/auth/login/email?callbackUrl=/account%3Fa=b")
    links = [link.get("href") for link in page.find_all("ul[@class='link-list']//a")]
    target = f"{site.url}/account?a=b"
    query = urlencode({"callbackUrl": target})
    assert links == [f"/auth/password/forgot?{query}", f"/auth/register?{query}"]
    assert visitor.get_page(links[1]).input_value("callbackUrl") == target


# --- Sign-up


def test_a_person_signs_up_verifies_the_address_and_signs_in(site: Site, visitor: Visitor) -> None:
    page = Page(visitor.submit("/auth/register", PERSON))
    assert (page.status, page.heading) == (200, "Check your email")
    assert PERSON["email"] in page.text
    refused = Page(visitor.sign_in(PERSON["email"], NEW_PASSWORD))
    assert (refused.status, "Send the email again" in refused.texts("button")) == (403, True)
    link = mails(site)[-1]
    assert link.to == PERSON["email"]
    assert visitor.get_page(link.path).texts("button") == ["Verify address"]
    response = visitor.submit("/auth/email/verify", {"code": link.code, "link": "1"})
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/auth/login/email")
    assert visitor.get_page("/auth/login/email").status_messages == ["Your email address is verified. Sign in now."]
    assert not visitor.is_signed_in
    assert visitor.sign_in(PERSON["email"], NEW_PASSWORD).status_code == 303
    assert visitor.get_session()["user"]["name"] == PERSON["name"]


def test_the_page_after_the_sign_up_can_be_loaded_again_in_its_browser_only(site: Site, visitor: Visitor) -> None:
    """Telephones drop a page while somebody reads the mail, and send its form again."""
    pages = [Page(visitor.submit("/auth/register", PERSON)) for _ in range(2)]
    assert [(page.status, page.heading) for page in pages] == [(200, "Check your email")] * 2
    assert PERSON["email"] in pages[1].text
    assert len(mails(site)) == 1
    stranger = Page(site.new_visitor().submit("/auth/register", PERSON))
    assert (stranger.status, stranger.heading) == (422, "Create an account")
    other = Page(visitor.submit("/auth/register", {**PERSON, "email": MINJI}))
    assert (other.status, other.heading) == (422, "Create an account")


@pytest.mark.parametrize("path", ["/auth/password/forgot", "/auth/email/resend"])
def test_a_mail_that_did_not_arrive_is_asked_for_again_by_one_button(site: Site, visitor: Visitor, path: str) -> None:
    page = Page(visitor.submit(path, {"email": "unverified@example.com"}))
    (form,) = page.find_all("form[@class='resend-form']")
    assert (form.get("action"), page.input_value("email")) == (path, "unverified@example.com")
    assert page.texts("form[@class='resend-form']/button") == ["Send the email again"]


def test_a_sign_up_that_needs_no_verification_signs_in_and_goes_to_the_target(make_site: SiteMaker) -> None:
    """The stand-in answers without a token, so the site signs in with the password."""
    site = make_site(clock=ManualClock(), backend_register="POST /register", backend_register_body=REGISTER_BODY)
    site.backend.extensions["stand_in_settings"]["verifies_addresses"] = False  # type: ignore[union-attr]
    visitor = site.new_visitor()
    response = visitor.submit("/auth/register", {**PERSON, "callbackUrl": "/account"})
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    assert visitor.get_session()["user"]["email"] == PERSON["email"]
    assert visitor.get("/auth/register").status_code == 303


@pytest.mark.parametrize(
    ("language", "heading", "of_email"),
    [
        ("en", "Check your phone", "email"),
        ("ko", "휴대전화를 확인해 주세요", "메일"),
        ("ja", "携帯電話をご確認ください", "メール"),
    ],
)
def test_who_signs_up_with_a_telephone_number_is_not_told_of_an_email(
    make_site: SiteMaker, language: str, heading: str, of_email: str
) -> None:
    site = make_site(clock=ManualClock(), **ACCOUNT_PATHS, login_identifier="phone")
    visitor, phone = site.new_visitor(**{"Accept-Language": language}), "010-1234-5678"
    pages = [
        Page(visitor.submit("/auth/register", {"name": "Sora", "password": NEW_PASSWORD, "phone": phone})),
        Page(visitor.submit("/auth/password/forgot", {"phone": phone})),
        Page(visitor.submit("/auth/email/resend", {"phone": phone})),
    ]
    assert [(page.status, page.heading) for page in pages] == [(200, heading)] * 3
    for page in (*pages, visitor.get_page("/auth/password/forgot"), visitor.get_page("/auth/email/resend")):
        assert of_email not in " ".join([*page.texts("h1"), *page.texts("p"), *page.texts("button")])


REGISTER_BODY = "name={name} email={identifier} password={password} password_confirmation={password}"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "sora"}, "email"),
        ({"email": ""}, "email"),
        ({"email": MINJI}, "email"),
        ({"email": "a@b@c"}, "email"),
        ({"name": ""}, "name"),
        ({"name": "\u3164"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"password": ""}, "password"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 1025}, "password"),
    ],
    ids=ascii,
)
def test_what_is_wrong_is_said_at_its_field_and_only_the_password_has_to_be_typed_again(
    shared_site: SiteMaker, changes: dict[str, str], field: str
) -> None:
    visitor = shared_site(clock=CLOCK, **ACCOUNT_PATHS).new_visitor()
    fields = {**PERSON, "email": "other@example.com", **changes}
    page = Page(visitor.submit("/auth/register", fields))
    assert page.status == 422
    assert [link.get("href") for link in page.find_all("div[@role='alert']//a")] == [f"#{field}"]
    assert not page.input_value("password")
    assert page.input_value("email") == fields["email"]
    assert not visitor.is_signed_in


CLOCK = ManualClock()


def test_further_fields_of_settings_are_asked_for_and_sent(make_site: SiteMaker) -> None:
    fields = 'data.company?="Company;ko=회사" born:date?="Birthday" terms:checkbox="I agree"'
    site = make_site(
        clock=ManualClock(), register_fields=fields, password_rules="Ten or more;ko=10자 이상", **ACCOUNT_PATHS
    )
    visitor = site.new_visitor()
    page = visitor.get_page("/auth/register")
    labels = ["Email address", "Name", "Company (optional)", "Birthday (optional)", "Password", "I agree"]
    assert page.texts("label") == labels
    assert page.texts("p[@class='field-hint']") == ["Ten or more"]
    korean = visitor.get_page("/auth/register", headers={"Accept-Language": "ko"})
    assert "회사 (선택)" in korean.texts("label")
    assert korean.texts("p[@class='field-hint']") == ["10자 이상"]
    not_agreed = Page(visitor.submit("/auth/register", {**PERSON, "company": "하루"}))
    assert (not_agreed.status, not_agreed.message) == (422, "Check what you entered Tick this box to continue: I agree")
    assert not_agreed.input_value("company") == "하루"
    assert Page(visitor.submit("/auth/register", {**PERSON, "terms": "1", "born": "x"})).status == 422
    assert Page(visitor.submit("/auth/register", {**PERSON, "terms": "1", "born": "2001-02-03"})).status == 200


def test_the_fields_are_ready_for_password_managers(visitor: Visitor) -> None:
    page = visitor.get_page("/auth/register")
    found = {field.get("name"): field.get("autocomplete") for field in page.find_all("input[@id]")}
    assert found == {"email": "username", "name": "name", "password": "new-password"}
    assert "at least 8 characters" in page.texts("p[@class='field-hint']")[0]


# --- A forgotten password


def test_a_new_password_is_set_by_the_link_of_a_mail(site: Site, visitor: Visitor) -> None:
    elsewhere = signed_up(site)
    assert Page(visitor.submit("/auth/password/forgot", {"email": PERSON["email"]})).heading == "Check your email"
    link = mails(site)[-1]
    page = visitor.get_page(link.path)
    assert page.input_value("code") == link.code
    assert page.input_value("email") == PERSON["email"]
    fields = {"code": link.code, "link": "1", "email": PERSON["email"], "new_password": "red-whale-32"}
    response = visitor.submit("/auth/password/reset", fields)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/auth/login/email")
    assert elsewhere.is_signed_in, "the backend has not said whose password it is"
    assert visitor.sign_in(PERSON["email"], "red-whale-32").status_code == 303
    assert visitor.is_signed_in
    assert not elsewhere.is_signed_in
    again = Page(visitor.submit("/auth/password/reset", fields))
    assert (again.status, again.texts("main//form//button")) == (400, [])
    assert visitor.sign_in(PERSON["email"], NEW_PASSWORD).status_code == 401


def reset_password(site: Site, visitor: Visitor) -> None:
    visitor.submit("/auth/password/forgot", {"email": PERSON["email"]})
    fields = {"code": mails(site)[-1].code, "email": PERSON["email"], "new_password": "red-whale-32"}
    assert visitor.submit("/auth/password/reset", fields).status_code == 303


def test_the_next_person_at_this_computer_keeps_their_other_sessions(site: Site, visitor: Visitor) -> None:
    signed_up(site)
    elsewhere = site.new_visitor()
    elsewhere.sign_in(MINJI)
    reset_password(site, visitor)
    assert visitor.sign_in(MINJI).status_code == 303
    assert elsewhere.is_signed_in


def test_an_hour_after_a_new_password_a_sign_in_ends_no_other_session(make_site: SiteMaker) -> None:
    clock = ManualClock()
    site = make_site(clock=clock, **ACCOUNT_PATHS)
    visitor, elsewhere = site.new_visitor(), signed_up(site)
    reset_password(site, visitor)
    clock.advance(3700)
    assert visitor.sign_in(PERSON["email"], "red-whale-32").status_code == 303
    assert elsewhere.is_signed_in


def test_a_sign_in_by_the_client_of_next_auth_ends_the_other_sessions_too(site: Site, visitor: Visitor) -> None:
    elsewhere = signed_up(site)
    reset_password(site, visitor)
    fields = {"email": "Sora@EXAMPLE.com", "password": "red-whale-32", "json": "true"}
    assert visitor.submit("/api/auth/callback/email", fields).status_code == 200
    assert not elsewhere.is_signed_in


@pytest.mark.parametrize("provider", ["oidc", "apple"])
def test_a_sign_in_through_a_provider_ends_the_other_sessions_of_that_person_only(
    make_site: SiteMaker, provider: str
) -> None:
    reset = {"backend_reset": "POST /reset", "backend_reset_body": "email={identifier} code={code} pw={new_password}"}
    reset |= {"backend_forgot": "POST /forgot", "backend_forgot_body": "email={identifier}"}
    with running_issuer() as issuer, scripted_backend() as backend:
        site = make_site(backend.url, **reset, **issuer.site_settings())
        for email, is_owner in (("other@example.com", False), (backend.user["email"], True)):
            elsewhere, visitor = site.new_visitor(), site.new_visitor()
            elsewhere.sign_in()
            fields = {"email": email, "code": "482913", "new_password": NEW_PASSWORD}
            assert visitor.submit("/auth/password/reset", fields).status_code == 303
            params = start_sign_in(visitor, issuer, provider)
            response = (post_callback if provider == "apple" else send_callback)(visitor, params, provider)
            assert response.status_code == 303
            assert elsewhere.is_signed_in is not is_owner


@pytest.mark.parametrize("typed", ["４８２ ９１３", "482-913", " 482\u00a0913\n", "482 913"])
def test_a_code_that_is_typed_is_read_however_it_was_pasted(shared_site: SiteMaker, typed: str) -> None:
    settings = {
        "backend_forgot": "POST /forgot",
        "backend_forgot_body": "email={identifier}",
        "backend_reset": "POST /reset",
        "backend_reset_body": "code={code} password={new_password}",
        "backend_verify_email": "POST /verify-email",
        "backend_verify_email_body": "code={code}",
        "backend_mails_code": "true",
    }
    with faulty_backend() as backend:
        visitor = shared_site(backend.url, **settings).new_visitor()
        for path in ("/auth/password/reset", "/auth/email/verify"):
            visitor.submit(path, {"code": typed, "new_password": NEW_PASSWORD})
            assert b'"482913"' in backend.calls[-1].body
            visitor.submit(path, {"code": "482-913", "link": "1", "new_password": NEW_PASSWORD})
            assert b'"482-913"' in backend.calls[-1].body, "the code of a link was changed"


def test_an_account_is_not_revealed_by_words_status_headers_or_time(site: Site, visitor: Visitor) -> None:
    signed_up(site)
    for path in ("/auth/password/forgot", "/auth/email/resend"):
        answers = []
        for email in (PERSON["email"], MINJI, "unverified@example.com", "nobody@example.com"):
            started_at = site.clock.monotonic()
            response = visitor.submit(path, {"email": email})
            seconds = site.clock.monotonic() - started_at
            page = Page(response)
            text = page.text.replace(email, "")
            assert 1 <= seconds < 60
            answers.append((page.status, sorted(response.headers), len(text), page.heading))
        assert len({str(answer) for answer in answers}) == 1, path


def test_another_person_cannot_use_the_code(site: Site, visitor: Visitor) -> None:
    signed_up(site)
    visitor.submit("/auth/password/forgot", {"email": PERSON["email"]})
    code = mails(site)[-1].code
    fields = {"code": code, "email": MINJI, "new_password": "red-whale-32"}
    assert visitor.submit("/auth/password/reset", fields).status_code == 400
    assert visitor.submit("/auth/email/verify", {"code": code}).status_code == 400
    assert visitor.sign_in(MINJI, "red-whale-32").status_code == 401
    assert visitor.sign_in(MINJI, PASSWORD).status_code == 303


# --- Links of mails


@pytest.mark.parametrize("path", ["/auth/password/reset", "/auth/email/verify"])
def test_opening_a_link_changes_nothing_and_passes_its_code_on_to_nobody(site: Site, path: str) -> None:
    signed_up(site)
    visitor = site.new_visitor()
    visitor.submit("/auth/register", {**PERSON, "email": "yuna@example.com"})
    visitor.submit("/auth/password/forgot", {"email": PERSON["email"]})
    link = next(mail for mail in reversed(mails(site)) if mail.path.startswith(path))
    scanner = site.new_visitor()
    for method in ("GET", "HEAD", "GET"):
        response = scanner.request(method, link.path)
        assert response.status_code == 200
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response.headers["Cache-Control"]
        assert link.code not in str(response.headers)
    fields = {"code": link.code, "email": PERSON["email"], "new_password": "red-whale-32", "link": "1"}
    assert visitor.submit(path, fields).status_code == 303, "the code still works"


@pytest.mark.parametrize("path", ["/auth/password/reset", "/auth/email/verify"])
def test_the_language_can_be_chosen_without_losing_the_link(shared_site: SiteMaker, path: str) -> None:
    visitor = shared_site(clock=CLOCK, **ACCOUNT_PATHS).new_visitor()
    page = visitor.get_page(f"{path}?token=t.0-k%26_n&email=sora@example.com")
    korean = next(link.get("href") for link in page.find_all("nav//a") if link.get("lang") == "ko")
    assert visitor.get_page(korean).input_value("code") == "t.0-k&_n"


ODD_CODES = (
    "",
    " ",
    "x",
    "..",
    "../..",
    "%2e%2e",
    "한글",
    "a b",
    "a\r\nX: y",
    "x" * 2049,
    "<script>",
    "{code}",
    "\x00",
    "'\"",
)


@pytest.mark.parametrize("code", ODD_CODES, ids=ascii)
def test_no_code_makes_a_server_error_or_sets_a_password(shared_site: SiteMaker, code: str) -> None:
    visitor = shared_site(clock=CLOCK, **ACCOUNT_PATHS).new_visitor()
    for path, more in (
        ("/auth/password/reset", {"new_password": "red-whale-32", "email": MINJI}),
        ("/auth/email/verify", {}),
    ):
        assert visitor.get(path, params={"token": code, "email": code, "uid": code}).status_code == 200
        for link in ({"link": "1"}, {}):
            response = visitor.submit(path, {"code": code, **more, **link})
            assert response.status_code in (400, 422), path
            assert "<script>" not in response.text
    assert site_accepts(visitor, PASSWORD)


@pytest.mark.parametrize("code", ["..", ".", "...", "../login", "a b"])
def test_a_code_in_a_path_stays_in_its_place(shared_site: SiteMaker, code: str) -> None:
    """The backend would answer another path with a page of HTML, which is a fault of the settings: 502."""
    body = {"backend_verify_email_body": "at=web"}
    visitor = shared_site(clock=CLOCK, backend_verify_email="POST /email/{code}", **body).new_visitor()
    assert visitor.submit("/auth/email/verify", {"code": code, "link": "1"}).status_code == (
        502 if "l" in code else 400
    )


def site_accepts(visitor: Visitor, password: str) -> bool:
    return visitor.sign_in(MINJI, password).status_code == 303


# --- Another password while signed in


def test_this_session_stays_and_all_others_end(site: Site) -> None:
    visitor, elsewhere = signed_up(site), site.new_visitor()
    elsewhere.sign_in(PERSON["email"], NEW_PASSWORD)
    old_cookies = visitor.cookies.copy()
    fields = {"password": NEW_PASSWORD, "new_password": "red-whale-32"}
    response = visitor.submit("/account/password", fields)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    notice = "Your password is changed. You are signed out on all other devices."
    assert visitor.get_page("/account").status_messages == [notice]
    assert not elsewhere.is_signed_in
    thief = site.new_visitor()
    thief.cookies = old_cookies
    assert not thief.is_signed_in, "the session id is new"
    assert visitor.get("/.well-known/change-password").headers["Location"] == f"{site.url}/account/password"


def test_a_wrong_current_password_changes_nothing(site: Site) -> None:
    visitor, elsewhere = signed_up(site), site.new_visitor()
    elsewhere.sign_in(PERSON["email"], NEW_PASSWORD)
    page = Page(visitor.submit("/account/password", {"password": "wrong", "new_password": "red-whale-32"}))
    assert page.status == 422
    assert not page.input_value("password")
    assert not page.input_value("new_password")
    assert visitor.is_signed_in
    assert elsewhere.is_signed_in


def test_who_is_not_signed_in_signs_in_first(visitor: Visitor, site: Site) -> None:
    response = visitor.get("/account/password")
    assert response.status_code == 303
    assert "callbackUrl=%2Faccount%2Fpassword" in response.headers["Location"]
    posted = visitor.submit("/account/password", {"password": PASSWORD, "new_password": "red-whale-32"})
    assert posted.headers["Location"].startswith(f"{site.url}/auth/login/email")
    assert site_accepts(visitor, PASSWORD)


# --- Limits


def test_guesses_of_the_current_password_are_limited(make_site: SiteMaker) -> None:
    clock = ManualClock()
    site = make_site(clock=clock, login_limit_per_account_and_ip="3/5minutes", **ACCOUNT_PATHS)
    visitor = site.new_visitor()
    visitor.sign_in()
    wrong = {"password": "wrong", "new_password": "red-whale-32"}
    statuses = [visitor.submit("/account/password", wrong).status_code for _ in range(4)]
    assert statuses == [422, 422, 422, 429]
    right = {"password": PASSWORD, "new_password": "red-whale-32"}
    assert visitor.submit("/account/password", right).status_code == 429
    clock.advance(310)
    assert visitor.submit("/account/password", right).status_code == 303


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/auth/password/forgot", {}),
        ("/auth/email/resend", {}),
        ("/auth/register", {"name": "x", "password": "short"}),
    ],
)
def test_mails_are_limited_for_known_and_unknown_accounts_alike(
    make_site: SiteMaker, path: str, fields: dict[str, str]
) -> None:
    clock = ManualClock()
    site = make_site(clock=clock, proxy_hops=1, mail_limit_per_account_and_ip="2/hour", **ACCOUNT_PATHS)
    for email in (MINJI, "nobody@example.com"):
        visitor = site.new_visitor(**{"X-Forwarded-For": "203.0.113.7"})
        spellings = (email, email.upper(), email.replace("@", "@ ").replace(" ", ""))
        statuses = [visitor.submit(path, {**fields, "email": each}).status_code for each in spellings]
        assert statuses[2] == 429
        assert 429 not in statuses[:2]
        owner = site.new_visitor(**{"X-Forwarded-For": "198.51.100.9"})
        assert owner.submit(path, {**fields, "email": email}).status_code != 429, "a stranger locks nobody out"


def test_the_limit_per_address_counts_all_accounts(make_site: SiteMaker) -> None:
    site = make_site(clock=ManualClock(), mail_limit_per_ip="3/hour", **ACCOUNT_PATHS)
    visitor = site.new_visitor()
    statuses = [
        visitor.submit("/auth/password/forgot", {"email": f"a{number}@example.com"}).status_code for number in range(4)
    ]
    assert statuses == [200, 200, 200, 429]
    assert not mails(site)


def test_codes_cannot_be_guessed_without_limit(make_site: SiteMaker) -> None:
    site = make_site(clock=ManualClock(), login_limit_per_ip="5/minute", **ACCOUNT_PATHS)
    visitor = site.new_visitor()
    statuses = [visitor.submit("/auth/email/verify", {"code": f"{code:06}"}).status_code for code in range(6)]
    assert statuses == [400] * 5 + [429]


# --- Secrets


def test_no_code_password_or_address_is_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    events: list[tuple[str, Any]] = []

    def note(_: object, event: str, fields: Any) -> None:
        events.append((event, fields))

    audit.audited.connect(note)
    with caplog.at_level(logging.DEBUG):
        visitor = signed_up(site)
        visitor.submit("/account/password", {"password": NEW_PASSWORD, "new_password": "red-whale-32"})
        visitor.submit("/auth/password/forgot", {"email": PERSON["email"]})
        code = mails(site)[-1].code
        visitor.get(mails(site)[-1].path)
        visitor.submit("/auth/password/reset", {"code": "wrong-code-7", "email": PERSON["email"], "new_password": "x"})
        visitor.submit(
            "/auth/password/reset", {"code": code, "email": PERSON["email"], "new_password": "green-whale-33"}
        )
    names = [event for event, _ in events]
    assert {"registered", "email_verified", "mail_requested", "account_form_failed"} <= {*names}
    assert {"password_reset", "password_changed"} <= {*names}
    text = str(events) + "".join(record.getMessage() + str(vars(record)) for record in site_records(caplog))
    for secret in (code, "wrong-code-7", NEW_PASSWORD, "red-whale-32", "green-whale-33", PERSON["email"]):
        assert secret not in text, secret


def site_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("munjigi")]
