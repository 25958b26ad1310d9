"""Passkeys: the journey at a stand-in backend, and what must not work."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from dev.backend import PASSWORD, create_backend
from services.observability.audit import audited
from services.passkeys import MAX_AGE_SECONDS, MAX_CREDENTIAL_LENGTH
from services.sessions.model import RECENT_SECONDS
from tests.support.passkey import FakePasskey, encode
from tests.support.scripted import ScriptedBackend
from tests.support.site import (
    MINJI,
    ManualClock,
    Page,
    Site,
    SiteMaker,
    Visitor,
    cookie_names,
    serve_in_thread,
    set_cookies,
)

LOGIN, PASSKEYS, COOKIE = "/auth/login/passkey", "/account/passkeys", "munjigi.passkey"
CLOCK = ManualClock()


@pytest.fixture(scope="module")
def backend_url() -> Iterator[str]:
    with serve_in_thread("127.0.0.1", lambda _: create_backend(protocol="allauth")) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def site(shared_site: SiteMaker, backend_url: str) -> Iterator[Site]:
    settings = {"backend": "allauth", "backend_logout_path": None, "backend_profile_path": None}
    yield shared_site(backend_url, clock=CLOCK, passkeys="true", **settings)
    CLOCK.advance(MAX_AGE_SECONDS)


def fetch(visitor: Visitor, path: str, **fields: Any) -> requests.Response:
    """Send JSON as the script does."""
    headers = {"Accept": "application/json"}
    return visitor.post(path, json={"csrfToken": visitor.csrf_token(), **fields}, headers=headers)


def options(visitor: Visitor) -> Any:
    return fetch(visitor, "/auth/passkey/options").json()["publicKey"]


def register_options(visitor: Visitor) -> Any:
    return fetch(visitor, f"{PASSKEYS}/options", password=PASSWORD).json()["publicKey"]


def send(visitor: Visitor, credential: str, path: str = LOGIN, **fields: str) -> requests.Response:
    return visitor.submit(path, {"credential": credential, **fields})


def with_passkey(site: Site, email: str = MINJI) -> FakePasskey:
    """Add a passkey to this account."""
    visitor, passkey = site.new_visitor(), FakePasskey()
    visitor.sign_in(email)
    assert send(visitor, passkey.create(register_options(visitor)), PASSKEYS).status_code == 303
    return passkey


def assert_refused(visitor: Visitor, response: requests.Response, status: int, words: str) -> None:
    page = Page(response)
    assert (page.status, page.heading) == (status, "Sign in")
    assert words in page.message
    assert not visitor.is_signed_in


EXPIRED = "took too long, was already used, or began in another browser"
REFUSED = "This passkey was not accepted"


# --- The journey


def test_a_person_adds_a_passkey_and_signs_in_with_it(site: Site) -> None:
    visitor, passkey = site.new_visitor(), FakePasskey()
    visitor.sign_in()
    assert "Add a passkey" in visitor.get_page("/account").text
    page = visitor.get_page(PASSKEYS)
    assert (page.heading, page.input_value("credential")) == ("Add a passkey", "")
    response = send(visitor, passkey.create(register_options(visitor)), PASSKEYS)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    assert "Your passkey is added. You can sign in with it from now on." in visitor.get_page("/account").status_messages

    other = site.new_visitor()
    response = send(other, passkey.sign_in(options(other)), callbackUrl="/account")
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    assert other.get_session()["user"]["email"] == MINJI


def test_the_sign_in_is_audited_without_the_passkey(site: Site) -> None:
    passkey, visitor = with_passkey(site), site.new_visitor()
    seen: list[tuple[str, dict[str, Any]]] = []

    def receive(_: object, *, event: str, fields: dict[str, Any]) -> None:
        seen.append((event, fields))

    with audited.connected_to(receive, site.app):
        send(visitor, passkey.sign_in(options(visitor)))
        send(visitor, "nonsense")
    assert [(event, fields["provider"]) for event, fields in seen] == [
        ("signed_in", "passkey"),
        ("sign_in_failed", "passkey"),
    ]
    assert passkey.id not in str(seen)


def test_the_sign_in_page_offers_passkeys_only_with_the_setting(site: Site, shared_site: SiteMaker) -> None:
    page, without = site.new_visitor().get_page("/auth/login/email"), shared_site().new_visitor()
    assert [field.get("autocomplete") for field in page.find_all("input[@id='email']")] == ["username webauthn"]
    (form,) = page.find_all("form[@class='passkey-form']")
    assert (form.get("hidden"), form.get("data-options")) == ("", "/auth/passkey/options")
    plain = without.get_page("/auth/login/email")
    assert [field.get("autocomplete") for field in plain.find_all("input[@id='email']")] == ["username"]
    assert "passkey" not in plain.text
    for path in ("/auth/passkey/options", LOGIN, "/auth/login/confirm/passkey", PASSKEYS, f"{PASSKEYS}/options"):
        assert without.submit(path, {}).status_code == 404


def test_a_wrong_password_adds_no_passkey(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    for fields in ({"password": "wrong"}, {}):
        response = fetch(visitor, f"{PASSKEYS}/options", **fields)
        assert (response.status_code, response.json()["message"]) == (422, "The current password is incorrect.")
    assert COOKIE not in visitor.cookies


REMOVE = f"{PASSKEYS}/remove"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1"


def removal_links(visitor: Visitor) -> list[str]:
    links = visitor.get_page(PASSKEYS).find_all("section[@class='session-list']//a")
    return [str(link.get("href")) for link in links]


def add(visitor: Visitor, passkey: FakePasskey) -> str:
    """Add a passkey to the account of who is signed in. Returns its id in the list."""
    before = removal_links(visitor)
    assert send(visitor, passkey.create(register_options(visitor)), PASSKEYS).status_code == 303
    (link,) = [each for each in removal_links(visitor) if each not in before]
    return link.rpartition("=")[2]


def test_a_passkey_is_listed_under_the_name_of_its_browser_and_can_be_removed(site: Site) -> None:
    visitor, passkey = site.new_visitor(), FakePasskey()
    visitor.headers["User-Agent"] = IPHONE
    visitor.sign_in()
    passkey_id = add(visitor, passkey)
    assert "Add a passkey or remove one" in visitor.get_page("/account").text
    page = visitor.get_page(PASSKEYS)
    assert "Safari, iPhone" in page.texts("section//p")

    page = visitor.get_page(f"{REMOVE}?passkey={passkey_id}")
    assert (page.heading, "Safari, iPhone" in page.text) == ("Remove this passkey?", True)
    assert [field.get("autocomplete") for field in page.find_all("input[@id='password']")] == ["current-password"]
    assert any(link.endswith(f"={passkey_id}") for link in removal_links(visitor)), "a GET has removed it"
    response = visitor.submit(REMOVE, {"passkey": passkey_id, "password": PASSWORD})
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}{PASSKEYS}")
    assert "The passkey is removed." in visitor.get_page(PASSKEYS).status_messages
    assert not any(link.endswith(f"={passkey_id}") for link in removal_links(visitor))

    other = site.new_visitor()
    assert_refused(other, send(other, passkey.sign_in(options(other))), 401, REFUSED)


def test_removing_is_audited_with_its_failures(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    passkey_id = add(visitor, FakePasskey())
    seen: list[tuple[str, dict[str, Any]]] = []

    def receive(_: object, *, event: str, fields: dict[str, Any]) -> None:
        seen.append((event, fields))

    with audited.connected_to(receive, site.app):
        for password in ("wrong", PASSWORD):
            visitor.submit(REMOVE, {"passkey": passkey_id, "password": password})
    assert [event for event, _ in seen] == ["account_form_failed", "passkey_removed"]
    assert (seen[0][1]["form"], seen[0][1]["outcome"]) == ("passkey_remove", "InvalidFields")


def test_a_wrong_password_removes_no_passkey(site: Site) -> None:
    visitor, passkey = site.new_visitor(), FakePasskey()
    visitor.sign_in()
    passkey_id = add(visitor, passkey)
    for password in ("wrong", ""):
        page = Page(visitor.submit(REMOVE, {"passkey": passkey_id, "password": password}))
        assert (page.status, page.heading) == (422, "Remove this passkey?")
        assert "The current password is incorrect." in page.message
        assert page.input_value("passkey") == passkey_id
    other = site.new_visitor()
    assert send(other, passkey.sign_in(options(other))).status_code == 303


def test_another_persons_passkey_is_neither_shown_nor_removed(site: Site) -> None:
    owner, stranger, passkey = site.new_visitor(), site.new_visitor(), FakePasskey()
    owner.sign_in("jun@example.com")
    link = f"{REMOVE}?passkey={add(owner, passkey)}"
    stranger.sign_in()
    assert link not in removal_links(stranger)
    response = stranger.get(link)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}{PASSKEYS}")
    stranger.submit(REMOVE, {"passkey": link.rpartition("=")[2], "password": PASSWORD})
    other = site.new_visitor()
    assert send(other, passkey.sign_in(options(other))).status_code == 303


@pytest.mark.parametrize("value", ["", "0", "-1", "1e9", "x" * 5000, "\u0000", "../1", "[1]", "1%0d%0aX: y", "\ud800"])
def test_an_id_that_is_not_in_the_list_removes_nothing(site: Site, value: str) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    fields = {"passkey": value, "password": PASSWORD, "csrfToken": visitor.csrf_token()}
    response = visitor.post(REMOVE, json=fields)
    assert (response.status_code, response.headers.get("Location")) in ((303, f"{site.url}{PASSKEYS}"), (400, None))
    response = visitor.get(REMOVE, params={"passkey": value.encode("utf-8", "surrogatepass")})
    assert response.headers["Location"] == f"{site.url}{PASSKEYS}"


def test_removing_needs_a_session_and_the_token_of_the_form(site: Site) -> None:
    visitor = site.new_visitor()
    for response in (visitor.get(f"{REMOVE}?passkey=1"), visitor.submit(REMOVE, {"passkey": "1"})):
        assert response.headers["Location"].startswith(f"{site.url}/auth/login/email?callbackUrl=")
    visitor.sign_in()
    passkey_id = add(visitor, FakePasskey())
    page = Page(visitor.post(REMOVE, data={"passkey": passkey_id, "password": PASSWORD}))
    assert (page.status, page.heading) == (400, "Remove this passkey?")
    assert any(link.endswith(f"={passkey_id}") for link in removal_links(visitor))


def test_without_a_password_to_enter_removing_needs_a_recent_sign_in(shared_site: SiteMaker, backend_url: str) -> None:
    settings = {"backend": "allauth", "backend_logout_path": None, "backend_profile_path": None}
    site = shared_site(backend_url, clock=CLOCK, passkeys="true", backend_confirm_password="none", **settings)
    visitor = site.new_visitor()
    visitor.sign_in()
    CLOCK.advance(RECENT_SECONDS + 60)
    confirm = f"{site.url}/auth/login/confirm?callbackUrl="
    for response in (visitor.get(f"{REMOVE}?passkey=1"), visitor.submit(REMOVE, {"passkey": "1"})):
        assert (response.status_code, response.headers["Location"].startswith(confirm)) == (303, True)


class ListingBackend(ScriptedBackend):
    """Its list of passkeys, and what it answers to their removal, are set by the test: a status, and a body."""

    listed: tuple[int, object] = (200, {})
    removal: tuple[int, object] = (200, {})

    def _respond(self, path: str) -> tuple[int, object]:
        if path == "/passkeys":
            return self.listed
        return self.removal if path.startswith("/passkeys/") else super()._respond(path)


@pytest.fixture(scope="module")
def listing_backend() -> Iterator[ListingBackend]:
    backend = ListingBackend()
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


@pytest.fixture
def listing_site(shared_site: SiteMaker, listing_backend: ListingBackend) -> Site:
    """A site whose settings name all calls of passkeys, and where no password is entered."""
    listing_backend.listed, listing_backend.removal = (200, {"data": [{"id": "a/b?c", "name": "Phone"}]}), (200, {})
    calls = {
        "backend_passkey_options": "POST /passkey/options",
        "backend_passkey": "POST /passkey",
        "backend_passkey_body": "credential={credential}",
        "backend_passkey_register_options": "POST /passkeys/options",
        "backend_passkey_register": "POST /passkeys",
        "backend_passkey_register_body": "credential={credential} name={device}",
        "backend_passkey_list": "GET /passkeys",
        "backend_passkey_list_at": "data",
        "backend_passkey_list_fields": "used_at=lastUsedAt",
        "backend_passkey_remove": "DELETE /passkeys/{passkey}",
    }
    return shared_site(listing_backend.url, clock=CLOCK, passkeys="true", **calls)


def test_settings_describe_the_list_of_any_backend(listing_site: Site, listing_backend: ListingBackend) -> None:
    visitor = listing_site.new_visitor()
    visitor.sign_in()
    used_at = datetime.fromtimestamp(CLOCK.time() - 7200, UTC).isoformat()
    listing_backend.listed = (200, {"data": [{"id": "a/b?c", "name": "Phone", "lastUsedAt": used_at}]})
    page = visitor.get_page(PASSKEYS)
    assert {"Phone", "Last used 2 hours ago"} <= set(page.texts("section//p"))
    (link,) = removal_links(visitor)
    assert visitor.get_page(link).heading == "Remove this passkey?"
    response = visitor.submit(REMOVE, {"passkey": "a/b?c"})
    assert (response.status_code, listing_backend.calls[-1][:2]) == (303, ("DELETE", "/passkeys/a/b?c"))


REMOVALS: dict[str, tuple[tuple[int, object], int, str]] = {
    "the only way to sign in": ((409, {"message": "no"}), 409, "you may have no other way to sign in"),
    "down": ((503, {}), 503, "Our service is not responding right now"),
    "HTML": ((500, "<html>"), 502, ""),
}


@pytest.mark.parametrize(("answer", "status", "words"), REMOVALS.values(), ids=REMOVALS)
def test_a_removal_that_the_backend_refuses_is_explained(
    listing_site: Site, listing_backend: ListingBackend, answer: tuple[int, object], status: int, words: str
) -> None:
    visitor = listing_site.new_visitor()
    visitor.sign_in()
    listing_backend.removal = answer
    page = Page(visitor.submit(REMOVE, {"passkey": "a/b?c"}))
    assert (page.status, page.heading, words in page.message) == (status, "Remove this passkey?", True), page.message


def test_a_session_that_has_ended_at_the_backend_ends_here(listing_site: Site, listing_backend: ListingBackend) -> None:
    for method, path in (("GET", PASSKEYS), ("GET", f"{REMOVE}?passkey=1"), ("POST", REMOVE)):
        listing_backend.listed = (200, {"data": []})
        visitor = listing_site.new_visitor()
        visitor.sign_in()
        token = visitor.csrf_token()
        listing_backend.listed = (401, {})
        response = visitor.request(method, path, data={"csrfToken": token, "passkey": "1"})
        page = visitor.get_page(response.headers["Location"]) if response.is_redirect else Page(response)
        assert (page.heading, "You were signed out" in page.message) == ("Sign in", True), page.message
        assert not visitor.is_signed_in


LISTS: dict[str, tuple[int, object]] = {
    "no list": (200, {"data": {}}),
    "null": (200, None),
    "an error": (500, {"message": "down"}),
    "not found": (404, {}),
    "forbidden": (403, {}),
    "odd objects": (200, {"data": [7, None, [], {}, {"id": None}, {"id": True}, {"id": ""}, {"id": "x" * 2000}]}),
    "odd values": (200, {"data": [{"id": 2**70, "name": {"a": 1}, "created_at": "soon", "lastUsedAt": -5}]}),
    "markup": (200, {"data": [{"id": "<i>", "name": "<b>x</b>\u202e" * 50, "created_at": 1e300}]}),
}


@pytest.mark.parametrize("answer", LISTS.values(), ids=LISTS)
def test_whatever_the_list_is_a_passkey_can_be_added(
    listing_site: Site, listing_backend: ListingBackend, answer: tuple[int, object]
) -> None:
    listing_backend.listed = answer
    visitor = listing_site.new_visitor()
    visitor.sign_in()
    page = visitor.get_page(PASSKEYS)
    assert (page.status, page.heading, page.texts("h2")) == (200, "Add a passkey", ["Your passkeys"])
    assert "<b>" not in page.text
    assert [visitor.get(link).status_code for link in removal_links(visitor)] in ([], [200])
    response = visitor.get(f"{REMOVE}?passkey=none")
    assert response.status_code in (303, 502, 503)


def test_without_a_session_the_page_and_its_calls_ask_to_sign_in(site: Site) -> None:
    visitor = site.new_visitor()
    response = visitor.get(PASSKEYS)
    assert response.headers["Location"].startswith(f"{site.url}/auth/login/email?callbackUrl=")
    assert fetch(visitor, f"{PASSKEYS}/options").status_code == 401
    assert send(visitor, FakePasskey().create({"challenge": "x"}), PASSKEYS).status_code == 303


def test_where_the_page_asks_for_no_password_it_needs_a_recent_sign_in(
    shared_site: SiteMaker, backend_url: str
) -> None:
    settings = {"backend": "allauth", "backend_logout_path": None, "backend_profile_path": None}
    site = shared_site(backend_url, clock=CLOCK, passkeys="true", backend_confirm_password="none", **settings)
    visitor = site.new_visitor()
    visitor.sign_in()
    assert visitor.get(PASSKEYS).status_code == 200
    assert "password" not in [field.get("type") for field in visitor.get_page(PASSKEYS).find_all("input")]
    again = fetch(visitor, f"{PASSKEYS}/options")  # the backend wants a newer sign-in
    confirm = f"{site.url}/auth/login/confirm?callbackUrl="
    assert (again.status_code, again.json()["url"].startswith(confirm)) == (403, True)
    CLOCK.advance(RECENT_SECONDS + 60)
    assert visitor.get(PASSKEYS).headers["Location"].startswith(confirm)
    assert fetch(visitor, f"{PASSKEYS}/options").json()["url"].startswith(confirm)
    response = send(visitor, FakePasskey().create({"challenge": "x"}), PASSKEYS)
    assert (response.status_code, response.headers["Location"].startswith(confirm)) == (303, True)


def test_a_passkey_confirms_the_session_of_its_owner_only(site: Site) -> None:
    own, foreign = with_passkey(site), with_passkey(site, "jun@example.com")
    visitor = site.new_visitor()
    visitor.sign_in()
    confirm = "/auth/login/confirm/passkey"
    page = Page(send(visitor, foreign.sign_in(options(visitor)), confirm))
    assert (page.status, "another account" in page.message) == (403, True)
    assert visitor.get_session()["user"]["email"] == MINJI
    response = send(visitor, own.sign_in(options(visitor)), confirm, callbackUrl="/account")
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
    stranger = site.new_visitor()
    assert send(stranger, own.sign_in(options(stranger)), confirm).status_code == 401
    assert not stranger.is_signed_in


def test_a_passkey_takes_the_place_of_a_next_step(site: Site) -> None:
    passkey, visitor = with_passkey(site), site.new_visitor()
    visitor.sign_in("nextstep@example.com")
    page = visitor.get_page("/auth/login/verify")
    assert [form.get("data-options") for form in page.find_all("form[@class='passkey-form']")] == [
        "/auth/passkey/options"
    ]
    assert "munjigi.pending" in visitor.cookies
    assert send(visitor, passkey.sign_in(options(visitor))).status_code == 303
    assert "munjigi.pending" not in visitor.cookies
    assert visitor.get_session()["user"]["email"] == MINJI


# --- What must not work


def test_an_answer_counts_once(site: Site) -> None:
    passkey, visitor, copy = with_passkey(site), site.new_visitor(), site.new_visitor()
    answer = passkey.sign_in(options(visitor))
    copy.cookies.update(visitor.cookies)
    assert send(visitor, answer).status_code == 303
    assert COOKIE not in visitor.cookies
    reasons: list[str] = []

    def receive(_: object, *, event: str, fields: dict[str, Any]) -> None:
        reasons.append(fields["reason"])

    with audited.connected_to(receive, site.app):
        assert_refused(copy, send(copy, answer), 400, EXPIRED)
    assert reasons == ["the answer to these options was sent before"]  # the stand-in would refuse it too


def test_an_answer_counts_in_the_browser_that_has_asked(site: Site) -> None:
    passkey, victim, thief = with_passkey(site), site.new_visitor(), site.new_visitor()
    answer = passkey.sign_in(options(victim))
    options(thief)
    assert_refused(thief, send(thief, answer), 400, EXPIRED)
    thief.cookies.set(COOKIE, victim.cookies[COOKIE], domain="localhost.local", path="/")
    assert_refused(thief, send(thief, answer), 400, EXPIRED)
    assert send(victim, answer).status_code == 303


def test_an_answer_without_options_or_too_late_is_refused(site: Site) -> None:
    passkey, visitor = with_passkey(site), site.new_visitor()
    assert_refused(visitor, send(visitor, passkey.sign_in({"challenge": "x" * 43})), 400, EXPIRED)
    answer = passkey.sign_in(options(visitor))
    CLOCK.advance(MAX_AGE_SECONDS + 60)
    assert_refused(visitor, send(visitor, answer), 400, EXPIRED)


def test_the_options_of_a_new_passkey_sign_nobody_in(site: Site) -> None:
    passkey, visitor = with_passkey(site), site.new_visitor()
    visitor.sign_in()
    answer = passkey.sign_in(register_options(visitor))
    response = send(visitor, answer, "/auth/login/confirm/passkey")
    assert (response.status_code, EXPIRED in Page(response).message) == (400, True)
    for answer in (FakePasskey().create(options(visitor)), FakePasskey().sign_in(register_options(visitor))):
        response = send(visitor, answer, PASSKEYS)
        assert (response.status_code, EXPIRED in Page(response).message) == (400, True)
    stranger = site.new_visitor()
    assert_refused(stranger, send(stranger, passkey.create(options(stranger))), 400, EXPIRED)


def test_a_passkey_is_added_to_the_account_that_has_asked(site: Site) -> None:
    visitor, passkey = site.new_visitor(), FakePasskey()
    visitor.sign_in()
    answer = passkey.create(register_options(visitor))
    other = site.new_visitor()
    other.sign_in("jun@example.com")
    session = other.cookies["next-auth.session-token"]
    visitor.cookies.set("next-auth.session-token", session, domain="localhost.local", path="/")
    assert visitor.get_session()["user"]["email"] == "jun@example.com"
    assert send(visitor, answer, PASSKEYS).status_code == 400
    assert_refused(other := site.new_visitor(), send(other, passkey.sign_in(options(other))), 401, REFUSED)


def test_an_unknown_passkey_is_refused(site: Site) -> None:
    visitor = site.new_visitor()
    assert_refused(visitor, send(visitor, FakePasskey().sign_in(options(visitor))), 401, REFUSED)


def a_response(**changes: Any) -> dict[str, Any]:
    client_data = encode(json.dumps({"type": "webauthn.get", "challenge": "x" * 43}))
    members = {"clientDataJSON": client_data, "authenticatorData": "YQ", "signature": "YQ"}
    return {"response": {**members, **changes}}


PASSKEY = FakePasskey()
HOSTILE = {
    "missing": "",
    "no JSON": "nonsense",
    "a list": "[]",
    "null": "null",
    "a number": "1" * 5000,
    "nested": "[" * 8000,
    "too large": json.dumps({"id": "x" * MAX_CREDENTIAL_LENGTH}),
    "a key twice": '{"id": "a", "id": "b"}',
    "no response": PASSKEY.sign_in({"challenge": "x"}, response=None),
    "a list as response": PASSKEY.sign_in({"challenge": "x"}, response=["clientDataJSON"]),
    "id with other characters": PASSKEY.sign_in({"challenge": "x"}, id="a b\r\nX: y"),
    "id as a number": PASSKEY.sign_in({"challenge": "x"}, id=7),
    "another type": PASSKEY.sign_in({"challenge": "x"}, type="password"),
    "client data that are no Base64url": PASSKEY.sign_in({"challenge": "x"}, **a_response(clientDataJSON="%%%")),
    "client data without type": PASSKEY.sign_in({"challenge": "x"}, **a_response(clientDataJSON=encode("{}"))),
    "client data of a list": PASSKEY.sign_in({"challenge": "x"}, **a_response(clientDataJSON=encode("[[]]"))),
    "no signature": PASSKEY.sign_in({"challenge": "x"}, **a_response(signature=None)),
    "a signature as an object": PASSKEY.sign_in({"challenge": "x"}, **a_response(signature={"$gt": ""})),
    "surrogates": PASSKEY.sign_in({"challenge": "x"}, **a_response(signature="\ud800")),
    "another challenge": PASSKEY.sign_in({"challenge": "y" * 43}),
    "a challenge as a list": PASSKEY.sign_in({"challenge": ["x"]}),
}


@pytest.mark.parametrize("credential", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_sent_as_a_credential_signs_nobody_in(site: Site, credential: str) -> None:
    visitor = site.new_visitor()
    options(visitor)
    response = send(visitor, credential)
    assert response.status_code in (400, 401)
    assert Page(response).heading == "Sign in"
    assert not visitor.is_signed_in
    visitor.sign_in()
    register_options(visitor)
    response = send(visitor, credential, PASSKEYS)
    assert response.status_code in (400, 422)
    assert Page(response).heading == "Add a passkey"


def test_members_that_an_answer_does_not_have_do_not_reach_the_backend(site: Site) -> None:
    """The stand-in takes the answer, so that what is left of it is what the backend needs."""
    passkey, visitor = with_passkey(site), site.new_visitor()
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"a": deep}
    answer = json.loads(passkey.sign_in(options(visitor)))
    answer["clientExtensionResults"] |= {"large": deep, "prf": {"results": {"first": "secret"}}}
    answer["authenticatorAttachment"] = {"$ne": None}
    answer["role"] = "admin"
    assert send(visitor, json.dumps(answer)).status_code == 303


@pytest.mark.parametrize("path", ["/auth/passkey/options", LOGIN, "/auth/login/confirm/passkey", f"{PASSKEYS}/options"])
def test_a_get_and_a_form_without_a_token_do_nothing(site: Site, path: str) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    assert visitor.get(path).status_code == 405
    for response in (visitor.post(path, json={}), visitor.post(path, data={"credential": "x"})):
        assert (response.status_code, COOKIE in cookie_names(response)) == (400, False)


def test_the_cookie_tells_nothing_and_no_script_can_read_it(site: Site) -> None:
    visitor = site.new_visitor()
    response = fetch(visitor, "/auth/passkey/options")
    (line,) = [line for line in set_cookies(response) if line.startswith(COOKIE)]
    assert {"HttpOnly", "SameSite=Lax"} <= set(line.split("; "))
    assert response.json()["publicKey"]["challenge"] not in line
    assert response.headers["Cache-Control"] == "no-store"


def test_options_have_a_limit_of_their_own(shared_site: SiteMaker, backend_url: str) -> None:
    settings = {"backend": "allauth", "backend_logout_path": None, "backend_profile_path": None}
    site = shared_site(backend_url, clock=CLOCK, passkeys="true", login_limit_per_ip="3/hour", **settings)
    visitor = site.new_visitor()
    statuses = [fetch(visitor, "/auth/passkey/options").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert visitor.sign_in().status_code == 303


def test_a_backend_that_fails_is_no_fault_of_the_person(shared_site: SiteMaker) -> None:
    settings = {"backend": "allauth", "backend_logout_path": None, "backend_profile_path": None}
    site = shared_site("http://127.0.0.1:1", passkeys="true", **settings)
    visitor = site.new_visitor()
    response = fetch(visitor, "/auth/passkey/options")
    assert (response.status_code, response.json()["error"]) == (503, "BackendUnavailable")
    assert visitor.get_page("/auth/login/email").status == 200
