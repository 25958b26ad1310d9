"""No return address leads off the site at any entry point, and no valid one is lost.

`redirects.json` holds 346 addresses with their verdicts for the site `http://localhost:5000`. The function that all
entry points use judges each of them; one of each category goes through each entry point. A WHATWG URL parser says
where a browser would go.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

import app
from tests.support.redirects import (
    FORM,
    ONE_OF_EACH_CATEGORY,
    ORIGIN,
    RETURN_ADDRESSES,
    csrf_token,
    destination,
    encode_form,
    is_misdirected,
    resolve_as_browser,
    sign_in,
)
from tests.support.site import Page, Site, make_settings, serve_in_thread
from web import redirect_target


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """A signed-in client at the origin of the verdicts, with a backend on a socket."""
    from dev.backend import create_backend

    with serve_in_thread("127.0.0.1", lambda _: create_backend()) as port:
        site = app.create_app(make_settings(site_url=ORIGIN, backend_url=f"http://127.0.0.1:{port}"))
        client = site.test_client()
        sign_in(client, {})
        yield client


def signed_in_at_the_page(client: FlaskClient, value: str) -> Any:
    return client.get("/auth/login/email?" + encode_form({"callbackUrl": value}).decode())


def form_field(client: FlaskClient, value: str) -> Any:
    return sign_in(client, {"callbackUrl": value})


def query_of_the_form(client: FlaskClient, value: str) -> Any:
    return sign_in(client, {}, "?" + encode_form({"callbackUrl": value}).decode())


def sign_out_field(client: FlaskClient, value: str) -> Any:
    response = client.post(
        "/auth/logout", data=encode_form({"csrfToken": csrf_token(client), "callbackUrl": value}), content_type=FORM
    )
    sign_in(client, {})
    return response


WAYS = (signed_in_at_the_page, form_field, query_of_the_form, sign_out_field)


def test_each_address_of_the_table_gets_its_verdict(client: FlaskClient) -> None:
    assert (len(RETURN_ADDRESSES), sum(entry["allowed"] for entry in RETURN_ADDRESSES)) == (346, 48)
    with client.application.app_context():
        passed = [(entry, redirect_target.validate(entry["value"])) for entry in RETURN_ADDRESSES]
    assert [entry["value"] for entry, address in passed if is_misdirected(entry, address or f"{ORIGIN}/")] == []
    assert [entry["value"] for entry, address in passed if entry["strict"] and bool(address) != entry["allowed"]] == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_space_in_an_address_is_percent_encoded(client: FlaskClient, way: Any) -> None:
    assert destination(way(client, "/rooms?name=sea view")) == f"{ORIGIN}/rooms?name=sea%20view"


@pytest.mark.parametrize(
    ("site_url", "address", "expected"),
    [
        ("https://example.com", "https://Example.com:443/x", "https://example.com/x"),
        ("http://example.com", "http://example.com:80?x", "http://example.com/?x"),
        ("http://example.com", "http://example.com:443/x", None),
        ("https://example.com:8443", "https://example.com:8443:443/x", None),
        ("https://example.com", "https://example.com:4433/x", None),
        ("http://[0:0::1]:5000", "http://[::1]:5000/x", "http://[::1]:5000/x"),
    ],
)
def test_an_address_may_have_the_default_port_of_the_site(site_url: str, address: str, expected: str | None) -> None:
    with app.create_app(make_settings(site_url=site_url)).app_context():
        assert redirect_target.validate(address) == expected


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_entry_point_follows_the_verdicts(client: FlaskClient, way: Any) -> None:
    wrong, sent_on = [], 0
    for entry in ONE_OF_EACH_CATEGORY:
        response = way(client, entry["value"])
        if response.status_code == 400 and any("\ud800" <= char <= "\udfff" for char in entry["value"]):
            continue  # bytes in a form that are not valid UTF-8
        sent_on += 1
        if response.status_code not in (200, 303) or is_misdirected(entry, destination(response)):
            wrong.append((entry["value"], response.status_code, destination(response)))
    assert wrong == []
    assert sent_on > 25


def test_a_return_address_in_the_page_is_escaped(client: FlaskClient) -> None:
    anonymous, written = client.application.test_client(), 0
    for entry in ONE_OF_EACH_CATEGORY:
        response = anonymous.get("/auth/login/email?" + encode_form({"callbackUrl": entry["value"]}).decode())
        assert response.status_code == 200
        kept = Page(_as_requests(response)).input_value("callbackUrl")
        assert kept is None or resolve_as_browser(kept).origin == ORIGIN
        if entry["strict"]:
            assert (kept is not None) == entry["allowed"], entry
        written += kept is not None
    assert written > 5


def _as_requests(response: Any) -> Any:
    class _Answer:
        status_code, text, content = response.status_code, response.text, response.data

    return _Answer()


@pytest.mark.parametrize(
    "query",
    [
        "callbackUrl=%ff%fe",
        "callbackUrl=%C0%AF%C0%AFevil.example",
        "callbackUrl=%ED%A0%80",
        "callbackUrl=%",
        "callbackUrl=%2",
        "callbackUrl=%zz",
        "callbackUrl=%u002f%u002fevil.example",
        "callbackUrl[]=//evil.example",
        "callbackurl=/a",
        "callbackUrl",
        "&".join(["callbackUrl="] * 1000),
        "next=/account",
        "returnTo=/account",
    ],
)
def test_an_invalid_query_leads_home(client: FlaskClient, query: str) -> None:
    response = client.get(f"/auth/login/email?{query}")
    assert response.status_code == 303
    assert resolve_as_browser(response.headers["Location"]).origin == ORIGIN
    if "%" not in query:
        assert response.headers["Location"] == f"{ORIGIN}/"


def test_the_first_return_address_counts_and_the_form_precedes_the_query(client: FlaskClient) -> None:
    first = client.get("/auth/login/email?callbackUrl=/a&callbackUrl=//evil.example")
    assert first.headers["Location"] == f"{ORIGIN}/a"
    refused = client.get("/auth/login/email?callbackUrl=//evil.example&callbackUrl=/a")
    assert refused.headers["Location"] == f"{ORIGIN}/"
    both = sign_in(client, {"callbackUrl": "/form"}, "?callbackUrl=/query")
    assert destination(both) == f"{ORIGIN}/form"


def test_cookies_and_the_referer_are_ignored(client: FlaskClient) -> None:
    client.set_cookie("next-auth.callback-url", "http%3A%2F%2Fevil.example")
    response = client.get("/auth/login/email", headers={"Referer": f"{ORIGIN}/elsewhere"})
    assert response.headers["Location"] == f"{ORIGIN}/"
    client.delete_cookie("next-auth.callback-url")


@pytest.mark.parametrize("page", ["/auth/login/email", "/auth/login/email?callbackUrl=%2Fa", "/auth/logout"])
def test_pages_that_redirect_are_no_return_address(client: FlaskClient, page: str) -> None:
    assert signed_in_at_the_page(client, page).headers["Location"] == f"{ORIGIN}/"


@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/auth/login/email", "/auth/login/email"),
        (f"{ORIGIN}/auth/login/email", "/auth/login/email"),
        ("/auth/login/email?callbackUrl=%2Frooms", "/auth/login/email?callbackUrl=%2Frooms"),
        ("/api/auth/signin", "/api/auth/signin"),
        ("/auth/logout", "/"),
        ("//evil.example/auth/login/email", "/"),
    ],
)
def test_a_sign_out_may_lead_to_the_sign_in_page(client: FlaskClient, door: str, value: str, expected: str) -> None:
    fields = {"csrfToken": csrf_token(client), "callbackUrl": value}
    assert destination(client.post(door, data=fields)) == f"{ORIGIN}{expected}"
    if door == "/api/auth/signout":
        fields |= {"csrfToken": csrf_token(client), "json": "true"}
        assert client.post(door, data=fields).json == {"url": f"{ORIGIN}{expected}"}
    sign_in(client, {})


def test_the_sign_out_page_passes_the_sign_in_page_on_to_its_form(client: FlaskClient) -> None:
    page = client.get("/auth/logout?callbackUrl=/auth/login/email")
    assert f'name="callbackUrl" value="{ORIGIN}/auth/login/email"' in page.text
    link = client.get("/api/auth/signout?callbackUrl=/auth/login/email")
    assert link.headers["Location"].endswith("/auth/logout?callbackUrl=http://localhost:5000/auth/login/email")


def test_the_return_address_survives_three_wrong_passwords(site: Site) -> None:
    visitor = site.new_visitor()
    address: str | None = f"{site.url}/account?tab=1#names"
    for _ in range(3):
        address = Page(visitor.sign_in(password="wrong", callbackUrl=address or "")).input_value("callbackUrl")
    assert visitor.sign_in(callbackUrl=address or "").headers["Location"] == f"{site.url}/account?tab=1#names"


@pytest.mark.parametrize("address", ["/x?" + "a" * 2048, "/x?" + "가" * 300])
def test_the_log_says_that_a_return_address_is_too_long(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    caplog.set_level("INFO", "munjigi")
    assert destination(form_field(client, address)) == f"{ORIGIN}/"
    assert any(
        re.fullmatch(r"callbackUrl ignored, it has 2\d+ characters and may have 2048", line) for line in caplog.messages
    )
