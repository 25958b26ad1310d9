"""The site in front of backends that teams use, which run unmodified: tests/real_backends has their programs.

The sets of this module say what each backend does by itself; docs/backends/README.md shows them.
"""

import itertools
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pytest

import doctor.backend
import errors
from doctor.finding import OK
from providers.base import Identity
from services import Services
from services.backend.answer_errors import DEFAULT_RETRY_AFTER
from services.backend.client import Revocation
from services.backend.link_calls import LinkCalls
from services.backend.results import Login
from services.backend.user import User
from services.observability.audit import audited
from services.sessions.cookie import SessionCookie
from services.sessions.token_refresh import MAX_REFUSED_SECONDS
from settings_readers import languages
from tests.support.real_backends import PROGRAMS, Account, RealBackend, running_backend
from tests.support.site import ManualClock, Page, Site, SiteMaker, Visitor, a_context, make_settings

REVALIDATE_SECONDS = 60

SHOWS_NAME = set(PROGRAMS) - {"djoser", "djoser-token", "fastapi-users"}
"""The user has a name. djoser shows the user name in its place, FastAPI-Users nothing."""
REFUSES_UNVERIFIED = {
    "dj-rest-auth",
    "custom",
    "allauth",
    "fastapi-users",
    "flask-security",
    "better-auth",
    "better-auth-username",
    "strapi",
    "strapi-legacy",
}
"""An account whose e-mail address is not verified is refused with an answer of its own."""
TRANSLATES = {"dj-rest-auth", "flask-security"}
"""The only difference to a wrong password is a text, which is in the language of the person."""
HIDES_INACTIVE = {"djoser", "djoser-token", "oauth2"}
"""An account that is not active yet is refused as if its password were wrong."""
NAMES_MISSING_FIELD = set(PROGRAMS) - {"djoser-token", "custom"}
"""A login without the name of the account is refused in another way than a wrong password."""
OTHER_FIELDS = {
    "oauth2": ("grant_type=password", "client_id={BACKEND_CLIENT_ID}", "client_secret={BACKEND_CLIENT_SECRET}")
}
"""What else belongs into the body of the login."""
HAS_SECOND_FACTOR = {"allauth", "flask-security", "better-auth"}
HAS_RECOVERY_CODES = {"allauth", "better-auth"}
THROTTLES = {"djoser", "allauth", "better-auth", "strapi"}
"""More than a few attempts in a short time are refused, as the programs of tests/real_backends are set up."""
NAMES_WAIT = {"djoser", "better-auth", "strapi"}
"""Their answer says how long to wait: here 10 seconds, 5 minutes or an hour."""
SAVES_NAME = {"better-auth", "better-auth-username", "firebase"}
ENDS_TOKENS_WITH_PASSWORD = {"allauth", "flask-security"}
"""A new password ends the tokens that were issued before."""
ENDS_TOKENS_WITH_LOGOUT = {"djoser-token", "allauth", "oauth2", "better-auth", "better-auth-username"}
ENDS_REFRESH_WITH_LOGOUT = {"dj-rest-auth", "custom", "oauth2", "strapi"}
"""The logout ends the refresh token."""
REFRESHES = {"djoser", "dj-rest-auth", "custom", "oauth2", "strapi", "firebase"}
ROTATES = {"oauth2", "strapi"}
"""A refresh token can be used once."""

VERIFIES_BY_CALL = {"djoser", "dj-rest-auth", "allauth", "fastapi-users", "better-auth", "strapi"}
HAS_ACCOUNT_FORMS = VERIFIES_BY_CALL | {"flask-security", "firebase"}
"""Sign-up, a forgotten password, another password. The last two have no call that verifies an address."""
REVEALS_ACCOUNTS = {"djoser", "dj-rest-auth", "fastapi-users", "flask-security", "strapi", "firebase"}
"""A sign-up says that there is an account already. The others answer as for a new one, and send no second mail."""

FAILS_TO_REFRESH_DELETED = {"djoser", "dj-rest-auth", "custom"}
"""The refresh of a deleted account is answered with 500."""

ODD_EMAILS = (
    "nobody@example.invalid",
    "민지@example.com",
    "kim@한국.kr",
    "a..b@example.com",
    "a'b@" + "c" * 60 + ".com",
)
ODD_USERNAMES = ("민지", "minji-kim", "minji kim", "x" * 200, "<{*}>", "a'b\"c\\")
ODD_PASSWORDS = ("민지의 비밀번호", "x" * 500, "a\\\"'{}%00")

pytestmark = [pytest.mark.external, pytest.mark.server]
_client_numbers = itertools.count(1)


def backends(ids: Collection[str]) -> pytest.MarkDecorator:
    """Run a test with each of these backends. One worker of pytest-xdist runs all tests of a backend."""
    params = [
        pytest.param(backend_id, marks=pytest.mark.xdist_group(f"backend-{backend_id}"))
        for backend_id in PROGRAMS
        if backend_id in ids
    ]
    assert len(params) == len(ids)
    return pytest.mark.parametrize("backend", params, indirect=True, scope="session")


every_backend = backends(PROGRAMS)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_backend(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(make_site: SiteMaker, backend: RealBackend, clock: ManualClock) -> Site:
    return make_site(clock=clock, session_revalidate=REVALIDATE_SECONDS, proxy_hops=1, **backend.site_settings)


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return new_visitor(site)


def new_visitor(site: Site) -> Visitor:
    """A visitor with an IP address of their own: backends count the attempts of each."""
    number = next(_client_numbers)
    return site.new_visitor(**{"X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}"})


def sign_in(visitor: Visitor, account: Account) -> None:
    assert visitor.sign_in(account.identifier, account.password).status_code == 303
    assert visitor.get_session()["user"]["email"] == account.email


def login(site: Site, account: Account) -> Login:
    """Sign in at the backend without a page, to have its tokens."""
    return services(site).backend.login(account.identifier, account.password, a_context())


def services(site: Site) -> Services:
    found: Services = site.app.extensions["munjigi"]
    return found


def is_alive(site: Site, access_token: str) -> bool:
    """Whether the backend still accepts this token."""
    with suppress(errors.SessionExpired):
        services(site).backend.user(access_token, a_context())
        return True
    return False


@every_backend
def test_a_person_signs_in_and_sees_who_they_are(site: Site, backend: RealBackend, visitor: Visitor) -> None:
    account = backend.create_account()
    response = visitor.sign_in(account.identifier, account.password, callbackUrl="/account")
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    user = visitor.get_session()["user"]
    assert user["email"] == account.email
    assert user["id"]
    if backend.id in SHOWS_NAME:
        assert user["name"] == account.name
    if backend.id.startswith("djoser"):
        assert user["name"] == account.username
    assert account.email in visitor.get_page("/account").text


@every_backend
def test_a_wrong_password_and_an_unknown_account_get_the_same_sentence(backend: RealBackend, visitor: Visitor) -> None:
    account = backend.create_account()
    wrong = Page(visitor.sign_in(account.identifier, "wrong"))
    unknown = Page(visitor.sign_in("nobody@example.com", account.password))
    assert "is incorrect" in wrong.message
    assert (wrong.status, wrong.message) == (unknown.status, unknown.message)
    assert wrong.status == 401
    assert not visitor.is_signed_in


@every_backend
def test_no_name_and_no_password_is_more_than_wrong(site: Site, backend: RealBackend) -> None:
    account = backend.create_account()
    names = ODD_EMAILS if services(site).settings.login_identifier == "email" else ODD_USERNAMES
    credentials = [*((name, "wrong") for name in names), *((account.identifier, text) for text in ODD_PASSWORDS)]
    statuses = {pair: new_visitor(site).sign_in(*pair).status_code for pair in credentials}
    assert statuses == dict.fromkeys(credentials, 401)


@every_backend
def test_the_doctor_finds_nothing_wrong(site: Site) -> None:
    findings = list(doctor.backend.check(services(site).settings, services(site).http_clients[0]))
    assert len(findings) >= 2
    assert {finding.kind for finding in findings} == {OK}, findings


@backends({"oauth2"})
def test_a_wrong_client_secret_is_no_fault_of_the_person(make_site: SiteMaker, backend: RealBackend) -> None:
    account = backend.create_account()
    site = make_site(**backend.site_settings | {"backend_client_secret": "wrong"})
    page = Page(site.new_visitor().sign_in(account.identifier, account.password))
    assert (page.status, "not set up correctly" in page.message) == (502, True)


@backends(NAMES_MISSING_FIELD)
def test_a_login_without_the_field_that_the_backend_wants_is_no_fault_of_the_person(
    make_site: SiteMaker, backend: RealBackend
) -> None:
    body = " ".join(["account={identifier} password={password}", *OTHER_FIELDS.get(backend.id, ())])
    site = make_site(proxy_hops=1, **backend.site_settings | {"backend_login_body": body})
    account = backend.create_account()
    for language in languages():
        visitor = new_visitor(site)
        visitor.headers["Accept-Language"] = language
        assert visitor.sign_in(account.identifier, account.password).status_code == 502


@backends(REFUSES_UNVERIFIED)
def test_an_address_that_is_not_verified_is_the_reason_given(backend: RealBackend, visitor: Visitor) -> None:
    account = backend.create_account(is_verified=False)
    page = Page(visitor.sign_in(account.identifier, account.password))
    assert (page.status, "is not verified yet" in page.message) == (403, True)
    assert not visitor.is_signed_in


@pytest.mark.parametrize("language", languages())
@backends(TRANSLATES)
def test_an_address_that_is_not_verified_is_the_reason_in_every_language(
    backend: RealBackend, visitor: Visitor, language: str
) -> None:
    account = backend.create_account(is_verified=False)
    visitor.headers["Accept-Language"] = language
    assert visitor.sign_in(account.identifier, account.password).status_code == 403
    assert visitor.sign_in(account.identifier, "wrong").status_code == 401


@backends(HIDES_INACTIVE)
def test_an_inactive_account_looks_like_a_wrong_password(backend: RealBackend, visitor: Visitor) -> None:
    account = backend.create_account(is_verified=False)
    page = Page(visitor.sign_in(account.identifier, account.password))
    assert (page.status, "is incorrect" in page.message) == (401, True)
    assert not visitor.is_signed_in


VERIFY = "/auth/login/verify"


def wait_for_code(backend: RealBackend, visitor: Visitor) -> Account:
    """Sign in to an account with a second factor, up to its page."""
    account = backend.create_account(has_second_factor=True)
    response = visitor.sign_in(account.identifier, account.password)
    assert (response.status_code, response.headers["Location"]) == (303, f"{visitor.url}{VERIFY}")
    assert not visitor.is_signed_in
    return account


@backends(HAS_SECOND_FACTOR)
def test_a_code_of_an_authenticator_app_signs_in(backend: RealBackend, visitor: Visitor) -> None:
    account = wait_for_code(backend, visitor)
    assert "authenticator app" in visitor.get_page(VERIFY).text
    page = Page(visitor.submit(VERIFY, {"code": "000000"}))
    assert (page.status, "This code is wrong" in page.message) == (401, True)
    assert not visitor.is_signed_in
    code = account.code()
    assert visitor.submit(VERIFY, {"code": f"{code[:3]} {code[3:]}"}).status_code == 303
    user = visitor.get_session()["user"]
    assert (user["email"], user["name"]) == (account.email, account.name)
    assert account.email in visitor.get_page("/account").text


@backends(HAS_SECOND_FACTOR)
def test_a_code_signs_in_once_and_only_in_the_browser_that_asked(
    site: Site, backend: RealBackend, visitor: Visitor
) -> None:
    account = wait_for_code(backend, visitor)
    copy, other = visitor.cookies["munjigi.pending"], new_visitor(site)
    other.csrf_token()
    other.cookies.set("munjigi.pending", copy, domain="localhost.local", path="/auth/login")
    assert "error=AttemptExpired" in other.submit(VERIFY, {"code": account.code()}).headers["Location"]
    assert visitor.submit(VERIFY, {"code": account.code()}).status_code == 303
    visitor.submit("/auth/logout", {})
    visitor.cookies.set("munjigi.pending", copy, domain="localhost.local", path="/auth/login")
    assert "error=AttemptExpired" in visitor.submit(VERIFY, {"code": account.code(1)}).headers["Location"]
    assert not visitor.is_signed_in


@backends(HAS_RECOVERY_CODES)
def test_a_recovery_code_signs_in_once(site: Site, backend: RealBackend, visitor: Visitor) -> None:
    account = wait_for_code(backend, visitor)
    (method,) = [
        button.get("value")
        for button in visitor.get_page(VERIFY).find_all("button[@name='method']")
        if button.text == "Use a recovery code"
    ]
    visitor.submit(f"{VERIFY}/method", {"method": method})
    assert visitor.submit(VERIFY, {"code": account.recovery_codes[0]}).status_code == 303
    assert visitor.is_signed_in
    again = new_visitor(site)
    again.sign_in(account.identifier, account.password)
    again.submit(f"{VERIFY}/method", {"method": method})
    assert Page(again.submit(VERIFY, {"code": account.recovery_codes[0]})).status == 401


@backends({"better-auth"})
def test_a_code_is_sent_and_a_browser_is_trusted(site: Site, backend: RealBackend, visitor: Visitor) -> None:
    account = wait_for_code(backend, visitor)
    site.clock.advance(40)  # type: ignore[attr-defined]
    assert visitor.submit(f"{VERIFY}/method", {"method": "otp"}).status_code == 303
    assert "We sent you a code" in visitor.get_page(VERIFY).text
    code = backend.sent_code(account)
    assert visitor.submit(VERIFY, {"code": code, "trust": "1"}).status_code == 303
    visitor.submit("/auth/logout", {})
    assert visitor.sign_in(account.identifier, account.password).headers["Location"] == f"{site.url}/"
    assert visitor.is_signed_in
    unknown = new_visitor(site)
    assert unknown.sign_in(account.identifier, account.password).headers["Location"] == f"{site.url}{VERIFY}"


@backends(THROTTLES)
def test_too_many_attempts_are_the_reason_given(backend: RealBackend, visitor: Visitor) -> None:
    page = fail_often(visitor, backend.create_account())
    assert "Too many attempts" in page.message
    wait = int(page.response.headers["Retry-After"])
    assert (wait == DEFAULT_RETRY_AFTER) is (backend.id not in NAMES_WAIT)


@backends(THROTTLES)
def test_too_many_attempts_of_one_person_stop_nobody_else(site: Site, backend: RealBackend, visitor: Visitor) -> None:
    fail_often(visitor, backend.create_account())
    sign_in(new_visitor(site), backend.create_account())


def fail_often(visitor: Visitor, account: Account) -> Page:
    """Send wrong passwords until the backend wants no more. Returns its last answer as a page."""
    pages = [Page(visitor.sign_in(account.identifier, "wrong")) for _ in range(12)]
    assert {page.status for page in pages} == {401, 429}
    assert pages[-1].status == 429
    return pages[-1]


@every_backend
def test_a_change_at_the_backend_is_seen_at_the_next_revalidation(
    backend: RealBackend, visitor: Visitor, clock: ManualClock
) -> None:
    account = backend.create_account()
    sign_in(visitor, account)
    backend.change(account, name="Minseo", new_email=f"new-{account.email}")
    assert visitor.get_session()["user"]["email"] == account.email
    clock.advance(REVALIDATE_SECONDS + 30)
    user = visitor.get_session()["user"]
    assert user["email"] == f"new-{account.email}"
    if backend.id in SHOWS_NAME:
        assert user["name"] == "Minseo"


@backends(SAVES_NAME)
def test_a_name_saved_on_the_account_page_is_the_backends(
    backend: RealBackend, visitor: Visitor, clock: ManualClock
) -> None:
    account = backend.create_account()
    sign_in(visitor, account)
    assert visitor.submit("/account", {"name": "Minseo"}).status_code == 303
    assert visitor.get_session()["user"]["name"] == "Minseo"
    clock.advance(REVALIDATE_SECONDS + 30)
    assert visitor.get_session()["user"]["name"] == "Minseo"


@every_backend
def test_a_deleted_account_is_signed_out_at_the_next_revalidation(
    backend: RealBackend, visitor: Visitor, clock: ManualClock
) -> None:
    """Or after ten minutes, if the backend answers its refresh with an error: that may be a fault of the backend."""
    account = backend.create_account()
    sign_in(visitor, account)
    backend.delete(account)
    clock.advance(REVALIDATE_SECONDS + 30)
    if backend.id in FAILS_TO_REFRESH_DELETED:
        assert visitor.is_signed_in
        clock.advance(MAX_REFUSED_SECONDS + 30)
    assert not visitor.is_signed_in


@every_backend
def test_a_new_password_ends_the_session_where_the_backend_ends_its_tokens(
    backend: RealBackend, visitor: Visitor, clock: ManualClock
) -> None:
    account = backend.create_account()
    sign_in(visitor, account)
    backend.change(account, password="another-horse-9")
    clock.advance(REVALIDATE_SECONDS + 30)
    assert visitor.is_signed_in is (backend.id not in ENDS_TOKENS_WITH_PASSWORD)
    assert visitor.sign_in(account.identifier, "another-horse-9").status_code == 303


@every_backend
def test_after_a_sign_out_the_token_is_dead_if_the_log_says_so(
    site: Site, backend: RealBackend, visitor: Visitor
) -> None:
    account = backend.create_account()
    sign_in(visitor, account)
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.get_dict().items())
    session = SessionCookie(make_settings(), site.clock).read(cookies).session
    assert session
    assert is_alive(site, session.access_token)
    logged: list[dict[str, Any]] = []

    def receive(_: object, *, event: str, fields: dict[str, Any]) -> None:
        logged.extend([fields] if event == "signed_out" else [])

    with audited.connected_to(receive, site.app):
        visitor.submit("/auth/logout", {})
    assert visitor.get_page("/").status_messages[0].startswith("You are signed out")
    assert not visitor.is_signed_in
    is_revoked = not is_alive(site, session.access_token)
    assert [fields["revoked"] for fields in logged] == [is_revoked]
    assert is_revoked is (backend.id in ENDS_TOKENS_WITH_LOGOUT)
    tokens = services(site).sessions.tokens(session)
    if backend.id in ENDS_REFRESH_WITH_LOGOUT:
        assert tokens.refresh
        with pytest.raises(errors.SessionExpired):
            services(site).backend.refresh(tokens, a_context())


@every_backend
def test_a_token_that_the_backend_never_issued_is_over(site: Site, backend: RealBackend) -> None:
    token = login(site, backend.create_account()).tokens.access
    assert is_alive(site, token)
    assert not is_alive(site, token[:-4] + "AAAA")
    assert not is_alive(site, "made-up")


@backends(REFRESHES)
def test_a_refresh_gives_a_token_that_works(site: Site, backend: RealBackend) -> None:
    tokens = login(site, backend.create_account()).tokens
    assert tokens.refresh
    assert tokens.expires_at
    new = services(site).backend.refresh(tokens, a_context())
    assert is_alive(site, new.access)
    assert new.refresh
    assert (new.refresh != tokens.refresh) is (backend.id in ROTATES)
    if backend.id in ROTATES:
        with pytest.raises(errors.SessionExpired):
            services(site).backend.refresh(tokens, a_context())


@backends(ENDS_REFRESH_WITH_LOGOUT)
def test_after_a_logout_the_backend_gives_no_new_tokens(site: Site, backend: RealBackend) -> None:
    tokens = login(site, backend.create_account()).tokens
    assert services(site).backend.logout(tokens, a_context()) in (Revocation.REVOKED, Revocation.ACCEPTED)
    with pytest.raises(errors.SessionExpired):
        services(site).backend.refresh(tokens, a_context())


# --- Sign-up, a forgotten password, verification, another password

PASSWORD, WEAK_PASSWORD = "blue-whale-31", "abc"
_account_numbers = itertools.count(1)


def sign_up_fields(backend: RealBackend, password: str = PASSWORD) -> dict[str, str]:
    """What a new person enters."""
    number = next(_account_numbers)
    return {"username": f"sora{number}", "email": f"sora{number}@example.com", "name": "Sora", "password": password}


def identifier(backend: RealBackend, fields: dict[str, str]) -> str:
    return fields["username" if backend.id == "djoser" else "email"]


@backends(VERIFIES_BY_CALL)
def test_a_person_signs_up_verifies_the_address_and_signs_in(site: Site, backend: RealBackend) -> None:
    visitor, fields = new_visitor(site), sign_up_fields(backend)
    page = Page(visitor.submit("/auth/register", fields))
    assert (page.status, page.heading) == (200, "Check your email")
    assert not visitor.is_signed_in
    assert visitor.sign_in(identifier(backend, fields), PASSWORD).status_code in (401, 403)
    link = backend.last_link(fields["email"])
    assert visitor.submit("/auth/email/verify", link).status_code == 303
    assert visitor.sign_in(identifier(backend, fields), PASSWORD).status_code == 303
    assert visitor.get_session()["user"]["email"] == fields["email"]


@backends(HAS_ACCOUNT_FORMS)
def test_a_weak_password_is_refused_at_its_field(site: Site, backend: RealBackend) -> None:
    page = Page(new_visitor(site).submit("/auth/register", sign_up_fields(backend, WEAK_PASSWORD)))
    assert page.status == 422
    assert [link.get("href") for link in page.find_all("div[@role='alert']//a")] == ["#password"]


@backends(HAS_ACCOUNT_FORMS)
def test_a_second_sign_up_reveals_no_more_than_the_backend_does(site: Site, backend: RealBackend) -> None:
    account = backend.create_account()
    fields = {"username": account.username, "email": account.email, "name": "Sora", "password": PASSWORD}
    page, new = (Page(new_visitor(site).submit("/auth/register", each)) for each in (fields, sign_up_fields(backend)))
    assert (page.status == 422) is (backend.id in REVEALS_ACCOUNTS)
    if page.status != 422:
        assert (page.status, page.heading, page.texts("button")) == (new.status, new.heading, new.texts("button"))
    assert new_visitor(site).sign_in(account.identifier, account.password).status_code == 303


@backends(HAS_ACCOUNT_FORMS)
def test_a_forgotten_password_is_replaced_by_the_link_of_a_mail_once(site: Site, backend: RealBackend) -> None:
    account, visitor, elsewhere = backend.create_account(), new_visitor(site), new_visitor(site)
    sign_in(elsewhere, account)
    known, unknown = (
        Page(visitor.submit("/auth/password/forgot", {"email": email}))
        for email in (account.email, "nobody@example.com")
    )
    assert (known.status, known.heading) == (unknown.status, unknown.heading) == (200, "Check your email")
    link = backend.last_link(account.email)
    weak = Page(visitor.submit("/auth/password/reset", {**link, "new_password": WEAK_PASSWORD}))
    assert weak.status == 422
    assert visitor.submit("/auth/password/reset", {**link, "new_password": PASSWORD}).status_code == 303
    assert visitor.sign_in(account.identifier, PASSWORD).status_code == 303
    assert visitor.is_signed_in
    assert not elsewhere.is_signed_in
    again = Page(new_visitor(site).submit("/auth/password/reset", {**link, "new_password": "red-whale-32"}))
    assert (again.status, "no longer works" in again.message) == (400, True)
    assert new_visitor(site).sign_in(account.identifier, account.password).status_code == 401


@backends(VERIFIES_BY_CALL)
def test_a_made_up_code_changes_nothing(site: Site, backend: RealBackend) -> None:
    account, visitor = backend.create_account(), new_visitor(site)
    for code in ("x", "a.b.c", "..", "%2e", "x" * 2000):
        fields = {"uid": "MQ", "code": code, "new_password": PASSWORD, "link": "1"}
        assert visitor.submit("/auth/password/reset", fields).status_code == 400, code
        assert visitor.submit("/auth/email/verify", {"uid": "MQ", "code": code, "link": "1"}).status_code == 400, code
    assert visitor.sign_in(account.identifier, account.password).status_code == 303


@backends(HAS_ACCOUNT_FORMS)
def test_a_password_is_changed_here_and_ends_the_sessions_elsewhere(site: Site, backend: RealBackend) -> None:
    account, visitor, elsewhere = backend.create_account(), new_visitor(site), new_visitor(site)
    sign_in(visitor, account)
    sign_in(elsewhere, account)
    for password, new_password, field in (
        ("wrong-horse-9", PASSWORD, "#password"),
        (account.password, "abc", "#new_password"),
    ):
        page = Page(visitor.submit("/account/password", {"password": password, "new_password": new_password}))
        assert page.status == 422
        assert [link.get("href") for link in page.find_all("div[@role='alert']//a")] == [field]
    response = visitor.submit("/account/password", {"password": account.password, "new_password": PASSWORD})
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    assert visitor.is_signed_in
    assert not elsewhere.is_signed_in
    assert visitor.get_page("/account").status == 200
    assert new_visitor(site).sign_in(account.identifier, PASSWORD).status_code == 303
    assert new_visitor(site).sign_in(account.identifier, account.password).status_code == 401


@backends({"better-auth"})
def test_what_is_connected_is_listed_and_refusals_leave_the_session(site: Site, backend: RealBackend) -> None:
    """A real provider's token would be needed to connect one."""
    account = backend.create_account()
    tokens = login(site, account).tokens
    client = {"providers": "google", "google_client_id": "id", "google_client_secret": "a-secret-of-this-test-only"}
    settings = make_settings(**{**backend.site_settings, **client})
    calls, user = LinkCalls(settings, services(site).backend), User.from_json({"id": "1"})
    (own,) = calls.list_accounts(tokens.access, user, a_context()) or []
    assert own.provider == "credential"
    with pytest.raises(errors.LastSignInMethod):
        calls.unlink(tokens.access, user, own, a_context())
    identity = Identity(subject="1", social_token="made-up")
    with pytest.raises(errors.SiteError):
        calls.link(tokens.access, user, settings.registrations[0], identity, a_context())
    with pytest.raises(errors.SessionExpired):
        calls.list_accounts("made-up", user, a_context())
    assert is_alive(site, tokens.access)
