"""No return address leads off the site, through any way in, and none that is good is lost.

`redirects.json` holds 346 addresses with their verdicts, against the site `http://localhost:5000`. Each is judged by
the function that every way in asks; one of each category goes through each way in. Where a browser would really go is
told by a WHATWG URL parser.
"""

import json
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import ada_url
import pytest
from flask.testing import FlaskClient

import app
from tests.site import Page, Site, served, settings
from web import redirect_target

ORIGIN = "http://localhost:5000"
VALUES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "redirects.json").read_text("utf-8"))
_BY_CATEGORY = groupby(sorted(VALUES, key=itemgetter("cat")), key=itemgetter("cat"))
SOME = [entry for _, entries in _BY_CATEGORY for entry in islice(entries, 1)]
"""One of each category."""


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """Someone signed in, at the origin that the verdicts are for; the backend is a real one, on a socket."""
    from dev.backend import create_backend

    with served("127.0.0.1", lambda _: create_backend()) as port:
        site = app.create_app(settings(site_url=ORIGIN, backend_url=f"http://127.0.0.1:{port}"))
        client = site.test_client()
        sign_in(client, {})
        yield client


def sign_in(client: FlaskClient, fields: dict[str, str], query: str = "", password: str = "correct-horse") -> Any:
    form = {"email": "minji@example.com", "password": password, "csrfToken": token(client), **fields}
    return client.post(f"/auth/login/email{query}", data=encoded(form), content_type=FORM)


FORM = "application/x-www-form-urlencoded"


def token(client: FlaskClient) -> str:
    return str(client.get("/api/auth/csrf").json["csrfToken"])  # type: ignore[index]


def encoded(form: dict[str, str]) -> bytes:
    # A lone surrogate cannot be sent as UTF-8: what a hostile client would send is its raw bytes.
    return urlencode(form, errors="surrogatepass").encode()


def signed_in_at_the_page(client: FlaskClient, value: str) -> Any:
    return client.get("/auth/login/email?" + encoded({"callbackUrl": value}).decode())


def form_field(client: FlaskClient, value: str) -> Any:
    return sign_in(client, {"callbackUrl": value})


def query_of_the_form(client: FlaskClient, value: str) -> Any:
    return sign_in(client, {}, "?" + encoded({"callbackUrl": value}).decode())


def sign_out_field(client: FlaskClient, value: str) -> Any:
    response = client.post(
        "/auth/logout", data=encoded({"csrfToken": token(client), "callbackUrl": value}), content_type=FORM
    )
    sign_in(client, {})
    return response


WAYS = (signed_in_at_the_page, form_field, query_of_the_form, sign_out_field)


def browser_goes_to(location: str) -> ada_url.URL:
    return ada_url.URL(location, base=f"{ORIGIN}/auth/login/email")


def leads_astray(entry: dict[str, Any], location: str) -> bool:
    """Whether a browser that is sent there leaves the site, or a good address is lost on the way."""
    url = browser_goes_to(location)
    own = url.origin == ORIGIN and not url.username and not url.password and location.isprintable()
    expected = entry["expect"] if entry["allowed"] else f"{ORIGIN}/"
    return not own or (entry["strict"] and url.href != expected)


def test_each_address_is_judged_as_the_table_says(client: FlaskClient) -> None:
    assert (len(VALUES), sum(entry["allowed"] for entry in VALUES)) == (346, 48)
    with client.application.app_context():
        passed = [(entry, redirect_target.validate(entry["value"])) for entry in VALUES]
    assert [entry["value"] for entry, address in passed if leads_astray(entry, address or f"{ORIGIN}/")] == []
    assert [entry["value"] for entry, address in passed if entry["strict"] and bool(address) != entry["allowed"]] == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_address_leads_off_the_site_and_no_good_one_is_lost(client: FlaskClient, way: Any) -> None:
    wrong, sent_on = [], 0
    for entry in SOME:
        response = way(client, entry["value"])
        if response.status_code == 400 and any("\ud800" <= char <= "\udfff" for char in entry["value"]):
            continue  # bytes that are no UTF-8, in a form
        locations = response.headers.getlist("Location")
        sent_on += 1
        if response.status_code != 303 or len(locations) != 1 or leads_astray(entry, locations[0]):
            wrong.append((entry["value"], response.status_code, locations))
    assert wrong == []
    assert sent_on > 25


def test_an_address_written_into_the_page_is_escaped_and_safe(client: FlaskClient) -> None:
    anonymous, written = client.application.test_client(), 0
    for entry in SOME:
        response = anonymous.get("/auth/login/email?" + encoded({"callbackUrl": entry["value"]}).decode())
        assert response.status_code == 200
        kept = Page(_as_requests(response)).value("callbackUrl")
        assert kept is None or browser_goes_to(kept).origin == ORIGIN
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
def test_a_query_that_is_none_of_ours_leads_home(client: FlaskClient, query: str) -> None:
    response = client.get(f"/auth/login/email?{query}")
    assert response.status_code == 303
    assert browser_goes_to(response.headers["Location"]).origin == ORIGIN
    if "%" not in query:
        assert response.headers["Location"] == f"{ORIGIN}/"


def test_of_two_addresses_the_first_counts_and_the_form_comes_before_the_query(client: FlaskClient) -> None:
    first = client.get("/auth/login/email?callbackUrl=/a&callbackUrl=//evil.example")
    assert first.headers["Location"] == f"{ORIGIN}/a"
    refused = client.get("/auth/login/email?callbackUrl=//evil.example&callbackUrl=/a")
    assert refused.headers["Location"] == f"{ORIGIN}/"
    both = sign_in(client, {"callbackUrl": "/form"}, "?callbackUrl=/query")
    assert both.headers["Location"] == f"{ORIGIN}/form"


def test_cookies_and_referers_have_no_say(client: FlaskClient) -> None:
    client.set_cookie("next-auth.callback-url", "http%3A%2F%2Fevil.example")
    response = client.get("/auth/login/email", headers={"Referer": f"{ORIGIN}/elsewhere"})
    assert response.headers["Location"] == f"{ORIGIN}/"
    client.delete_cookie("next-auth.callback-url")


@pytest.mark.parametrize("page", ["/auth/login/email", "/auth/login/email?callbackUrl=%2Fa", "/auth/logout"])
def test_pages_that_would_only_send_on_again_are_no_return_address(client: FlaskClient, page: str) -> None:
    assert signed_in_at_the_page(client, page).headers["Location"] == f"{ORIGIN}/"


def test_the_address_survives_three_wrong_passwords(site: Site) -> None:
    visitor = site.visitor()
    address: str | None = f"{site.url}/account?tab=1#names"
    for _ in range(3):
        address = Page(visitor.sign_in(password="wrong", callbackUrl=address or "")).value("callbackUrl")
    assert visitor.sign_in(callbackUrl=address or "").headers["Location"] == f"{site.url}/account?tab=1#names"
