"""CSRF, request bodies, paths, methods, hosts, response headers, and the language of a page."""

import logging
import re
from typing import Any
from urllib.parse import quote

import pytest
import requests
from werkzeug.test import Client

import app
from tests.support.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, make_settings, set_cookies

FORM = "application/x-www-form-urlencoded"
PAGES = ("/", "/auth/login/email", "/auth/login/email?error=CredentialsSignin", "/auth/logout", "/account", "/nowhere")
JSON = ("/api/auth/session", "/api/auth/csrf", "/health/live", "/health/ready")


# --- CSRF


@pytest.mark.parametrize("path", ["/auth/login/email", "/auth/logout", "/account"])
@pytest.mark.parametrize("sent", ["missing", "empty", "another browser's", "changed", "in the query"])
def test_a_form_without_a_valid_csrf_token_does_nothing_and_can_be_sent_again(
    site: Site, visitor: Visitor, path: str, sent: str
) -> None:
    visitor.sign_in()
    token = visitor.csrf_token()
    fields = {"email": MINJI, "password": "correct-horse", "name": "Changed", "nick_name": ""}
    query = ""
    if sent == "empty":
        fields["csrfToken"] = ""
    elif sent == "another browser's":
        fields["csrfToken"] = site.new_visitor().csrf_token()
    elif sent == "changed":
        fields["csrfToken"] = token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]
    elif sent == "in the query":
        query = f"?csrfToken={token}"
    page = Page(visitor.post(path + query, data=fields))
    assert page.status == 400
    assert "was open for too long" in page.message
    assert visitor.get_session()["user"]["name"] == "김민지"
    assert page.input_value("csrfToken")
    if path == "/auth/login/email":
        assert page.input_value("email") == MINJI


def test_an_expired_form_keeps_the_name_that_was_typed(visitor: Visitor) -> None:
    visitor.sign_in()
    page = Page(visitor.post("/account", data={"name": "새 이름", "nick_name": "새"}))
    assert (page.input_value("name"), page.input_value("nick_name")) == ("새 이름", "새")


def test_without_any_cookie_the_page_says_that_cookies_may_be_blocked(site: Site, visitor: Visitor) -> None:
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "correct-horse"}
    response = site.new_visitor().post("/auth/login/email", data=fields)
    assert response.status_code == 400
    assert "did not send this site" in Page(response).message
    assert "munjigi.visitor" in cookie_names(response)


def test_a_visitor_cookie_with_a_bad_signature_is_ignored(site: Site, visitor: Visitor) -> None:
    token = visitor.csrf_token()
    forged = {"Cookie": "munjigi.visitor=eyJjc3JmVG9rZW4iOiJ4In0.aaaa.bbbb"}
    fields = {"csrfToken": token, "email": MINJI, "password": "correct-horse"}
    assert requests.post(f"{site.url}/auth/login/email", data=fields, headers=forged, timeout=5).status_code == 400


def test_the_csrf_token_from_before_sign_in_is_refused_afterwards(visitor: Visitor) -> None:
    before = visitor.csrf_token()
    visitor.sign_in()
    assert visitor.post("/auth/logout", data={"csrfToken": before}).status_code == 400
    assert visitor.is_signed_in


def test_an_outdated_form_says_expired_not_that_cookies_are_blocked(
    visitor: Visitor,
) -> None:
    before = visitor.csrf_token()
    for change in ("in", "out"):
        done = visitor.sign_in() if change == "in" else visitor.submit("/auth/logout", {})
        assert done.status_code == 303
        sent = {"csrfToken": before, "json": "true", "email": MINJI, "password": "correct-horse"}
        answer = visitor.post("/api/auth/callback/email", data=sent).json()
        assert "error=FormExpired" in answer["url"]


@pytest.mark.parametrize("field", ["email", "password", "callbackUrl", "csrfToken", "more"])
@pytest.mark.parametrize("door", ["/auth/login/email", "/api/auth/callback/email", "/api/auth/session"])
def test_a_lone_surrogate_in_json_is_400(visitor: Visitor, door: str, field: str) -> None:
    sent: dict[str, object] = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "correct-horse"}
    for half in ("\ud800@example.com", "\udfff"):
        assert visitor.post(door, json=sent | {field: half}).status_code == 400
        assert visitor.post(door, json=sent | {"data": {"name": half}}).status_code == 400
    assert not visitor.is_signed_in


def test_a_csrf_token_may_come_in_a_json_body(visitor: Visitor) -> None:
    response = visitor.post("/auth/logout", json={"csrfToken": visitor.csrf_token()})
    assert response.status_code == 303


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
def test_a_cross_site_form_is_refused_even_with_a_valid_csrf_token(visitor: Visitor, name: str, value: str) -> None:
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "correct-horse"}
    assert visitor.post("/auth/login/email", data=fields, headers={name: value}).status_code == 400
    assert not visitor.is_signed_in


DOORS = {
    "/auth/login/email": {"email": MINJI, "password": "correct-horse"},
    "/auth/logout": {},
    "/account": {"name": "Changed", "nick_name": ""},
    "/api/auth/session": {},
    "/api/auth/callback/email": {"email": MINJI, "password": "correct-horse", "json": "true"},
    "/api/auth/signin/email": {"json": "true"},
    "/api/auth/signout": {"json": "true"},
    "/api/auth/signin/google": {"json": "true"},
}
"""Each route that checks the CSRF token, and the fields of a request that it accepts."""


@pytest.fixture
def site_with_google(shared_site: SiteMaker) -> Site:
    return shared_site(providers="google", google_client_id="id", google_client_secret="a-secret-of-this-test-only")


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_origin_has_an_error_and_a_log_line_of_its_own(
    site_with_google: Site, caplog: pytest.LogCaptureFixture, door: str
) -> None:
    visitor = site_with_google.new_visitor()
    visitor.sign_in()
    with caplog.at_level("INFO", "munjigi"):
        response = visitor.submit(door, DOORS[door], headers={"Origin": "https://www.example.com"})
    assert response.status_code == 400
    assert "was open for too long" not in response.text
    if response.headers["Content-Type"].startswith("text/html"):
        assert "sent from another web address" in Page(response).message
    elif door != "/api/auth/session":  # answers `{}` for all errors
        assert "error=OriginMismatch" in response.json()["url"]
        sign_in_page = Page(site_with_google.new_visitor().get("/auth/login/email?error=OriginMismatch"))
        assert "sent from another web address" in sign_in_page.message
    assert f"origin='https://www.example.com' sec_fetch_site='' site_url={site_with_google.url}" in caplog.text
    assert [record.fields["outcome"] for record in caplog.records if record.msg == "csrf_failed"] == [  # type: ignore[attr-defined]
        "OriginMismatch"
    ]
    assert visitor.get_session()["user"]["name"] == "김민지"


@pytest.mark.parametrize("door", DOORS)
def test_a_hidden_origin_is_accepted_if_the_browser_says_that_the_request_is_from_this_site(
    site_with_google: Site, door: str
) -> None:
    """As Chromium sends it from a page with `Referrer-Policy: no-referrer`."""
    visitor = site_with_google.new_visitor()
    if door not in ("/auth/login/email", "/api/auth/callback/email"):
        visitor.sign_in()
    fields = {**DOORS[door], "name": "김민지", "nick_name": "민지"}
    response = visitor.submit(door, fields, headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    assert response.status_code in (200, 302, 303)
    assert "error" not in response.headers.get("Location", "")


@pytest.mark.parametrize("fetch_site", [None, "none", "same-site", "cross-site", "", "same-origin, cross-site"])
def test_a_hidden_origin_alone_is_refused(visitor: Visitor, fetch_site: str | None) -> None:
    headers = {"Origin": "null", "Sec-Fetch-Site": fetch_site}
    fields = {"email": MINJI, "password": "correct-horse"}
    assert visitor.submit("/auth/login/email", fields, headers=headers).status_code == 400
    assert not visitor.is_signed_in


@pytest.mark.parametrize(
    ("site_url", "same", "others"),
    [
        (
            "https://login.example.com",
            ("https://login.example.com", "https://LOGIN.example.com", "https://login.example.com:443"),
            ("https://login.example.com.", "https://login.example.com:8443", "http://login.example.com:443"),
        ),
        (
            "http://[0:0:0:0:0:0:0:1]:8742",
            ("http://[::1]:8742", "http://[0:0::1]:8742"),
            ("http://[::2]:8742", "http://[::1]", "http://127.0.0.1:8742"),
        ),
        (
            "http://EXAMPLE.com:80/login-site",
            ("http://example.com", "http://example.com:80"),
            ("http://example.com/login-site", "http://user@example.com", "http://example.com http://example.com", ""),
        ),
    ],
)
def test_each_spelling_of_the_origin_of_the_site_is_accepted_and_no_other_origin(
    make_site: SiteMaker, site_url: str, same: tuple[str, ...], others: tuple[str, ...]
) -> None:
    site = make_site(site_url=site_url)
    client = site.app.test_client()
    path = "/login-site" if site_url.endswith("/login-site") else ""
    base_url = site_url.lower().removesuffix("/login-site")
    for origin, status in [*((each, 303) for each in same), *((each, 400) for each in others)]:
        csrf = client.get(f"{path}/api/auth/csrf", base_url=base_url).get_json()["csrfToken"]
        response = client.post(
            f"{path}/auth/logout", base_url=base_url, data={"csrfToken": csrf}, headers={"Origin": origin}
        )
        assert response.status_code == status, origin


def test_a_same_origin_form_is_accepted_whatever_the_host_header(site: Site, visitor: Visitor) -> None:
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "correct-horse"}
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    own = {"Origin": site.url, "Sec-Fetch-Site": "same-origin", "Host": "evil.example", "Cookie": cookies}
    response = visitor.post("/auth/login/email", data=fields, headers=own)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/")


def test_a_get_of_the_logout_page_does_not_sign_out(visitor: Visitor) -> None:
    visitor.sign_in()
    for method in ("GET", "HEAD"):
        visitor.request(method, "/auth/logout")
    assert visitor.is_signed_in


# --- Bodies


@pytest.mark.parametrize("everywhere", ["1", 1, True, "true"])
@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
def test_a_sign_out_everywhere_in_json_ends_the_sessions_of_all_devices(
    make_site: SiteMaker, door: str, everywhere: object
) -> None:
    site = make_site()
    phone, laptop = site.new_visitor(), site.new_visitor()
    phone.sign_in()
    laptop.sign_in()
    body = {"csrfToken": phone.csrf_token(), "everywhere": everywhere}
    assert phone.post(door, json=body).status_code in (302, 303)
    assert not laptop.is_signed_in


@pytest.mark.parametrize("everywhere", ["yes", ["1"], {}, 2, 1.0])
def test_a_sign_out_that_may_mean_everywhere_is_refused(visitor: Visitor, everywhere: object) -> None:
    visitor.sign_in()
    body = {"csrfToken": visitor.csrf_token(), "everywhere": everywhere}
    assert visitor.post("/auth/logout", json=body).status_code == 422
    assert visitor.is_signed_in


def test_a_sign_in_by_json_at_the_sign_in_page_works_as_by_a_form(visitor: Visitor) -> None:
    body = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "correct-horse", "callbackUrl": "/account"}
    assert visitor.post("/auth/login/email", json={**body, "password": "wrong"}).status_code == 401
    assert Page(visitor.post("/auth/login/email", json={**body, "password": "wrong"})).input_value("email") == MINJI
    response = visitor.post("/auth/login/email", json=body)
    assert (response.status_code, response.headers["Location"]) == (303, f"{visitor.url}/account")


def test_the_account_form_by_json_saves_the_names(make_site: SiteMaker) -> None:
    visitor = make_site().new_visitor()
    visitor.sign_in()
    body = {"csrfToken": visitor.csrf_token(), "name": "새 이름", "nick_name": "새"}
    assert visitor.post("/account", json=body).status_code == 303
    assert visitor.get_session()["user"]["name"] == "새 이름"


def test_an_update_of_the_session_by_a_form_is_not_taken_for_an_update_without_data(visitor: Visitor) -> None:
    visitor.sign_in()
    assert visitor.submit("/api/auth/session", {"data": '{"name": "Changed"}'}).status_code == 422


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
def test_other_content_types_get_415(visitor: Visitor, kind: str) -> None:
    assert visitor.post("/auth/login/email", data=b"x=1", headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"email=%ff%fe&password=x", FORM),
        (b"email=\xff&password=x", FORM),
        (b"[" * 100_000, "application/json"),
        (b'{"csrfToken": NaN}', "application/json"),
        (b"\xef\xbb\xbf" * 2 + b"{}", "application/json"),
        ('{"csrfToken": "x"}'.encode("utf-16"), "application/json; charset=utf-16"),
        (b'{"csrfToken": ' + b"9" * 5000 + b"}", "application/json"),
        (b"{", "application/json"),
    ],
)
def test_an_unreadable_body_is_400(visitor: Visitor, body: bytes, kind: str) -> None:
    assert visitor.post("/auth/login/email", data=body[:60_000], headers={"Content-Type": kind}).status_code == 400


@pytest.mark.parametrize("path", ["/auth/login/email", "/api/auth/signin", "/api/auth/signout"])
@pytest.mark.parametrize(("body", "kind"), [(b"{", "application/json"), (b"callbackUrl=/account", FORM)])
def test_the_body_of_a_get_request_is_ignored(visitor: Visitor, path: str, body: bytes, kind: str) -> None:
    response = visitor.get(path, data=body, headers={"Content-Type": kind})
    assert response.status_code in (200, 302)
    assert "callbackUrl" not in response.text + response.headers.get("Location", "")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"{}", b'{"csrfToken": 1}', b'{"csrfToken": ["x"]}'])
def test_json_without_a_valid_csrf_token_is_400(visitor: Visitor, body: bytes) -> None:
    visitor.csrf_token()
    response = visitor.post("/auth/login/email", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize("path", ["/auth/login/email", "/api/auth/session", "/api/auth/_log"])
def test_the_log_names_the_limit_that_a_body_exceeds(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO, "munjigi")
    assert visitor.post(path, data={"email": "x" * 70_000}).status_code == 413
    (line,) = [record for record in caplog.records if record.getMessage() == "reference_shown"]
    assert line.__dict__["fields"]["reason"] == "the body has over 65536 bytes"


def test_a_body_of_one_megabyte_is_413(visitor: Visitor) -> None:
    response = visitor.post("/auth/login/email", data={"password": "x" * 1024 * 1024})
    assert response.status_code == 413
    assert Page(response).heading == "What you sent is too large"


def test_twenty_thousand_fields_are_parsed_within_a_second(visitor: Visitor) -> None:
    response = visitor.post("/auth/login/email", data=b"a&" * 20_000, headers={"Content-Type": FORM})
    assert response.status_code == 400
    assert response.elapsed.total_seconds() < 1


def test_unknown_form_fields_are_ignored(visitor: Visitor) -> None:
    response = visitor.sign_in(**{"user[id]": "1", "role": "admin", "redirect": "//evil.example", "provider": "x"})
    assert response.status_code == 303
    assert visitor.get_session()["user"]["id"] == 1


def test_the_first_of_two_values_counts(visitor: Visitor) -> None:
    fields = [("csrfToken", visitor.csrf_token()), ("email", MINJI), ("email", "x@y.z"), ("password", "correct-horse")]
    assert visitor.post("/auth/login/email", data=fields).status_code == 303


# --- Paths, methods, hosts


@pytest.mark.parametrize("path", ["/", "/auth/login/email", "/auth/logout", "/account", "/api/auth/session"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"])
def test_other_methods_get_405_with_an_allow_header(visitor: Visitor, path: str, method: str) -> None:
    response = visitor.request(method, path)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/auth/login/email/",
        "/auth//login/email",
        "/AUTH/LOGIN/EMAIL",
        "/auth/login/email;x",
        "/auth/login/email%00",
        "/auth/login/email%2f..",
        "/api/auth/session/x.css",
        "/account;.js",
        "/%ff",
        "/.env",
        "/.git/config",
        "/auth/static/../../app.py",
        "/auth/static/%2e%2e/%2e%2e/app.py",
        "/" + "x" * 4000,
    ],
)
def test_unknown_paths_are_404(site: Site, path: str) -> None:
    prepared = requests.Request("GET", site.url + path).prepare()
    prepared.url = site.url + path  # without the client's normalization
    with requests.Session() as session:
        assert session.send(prepared, allow_redirects=False, timeout=5).status_code == 404


def test_a_path_with_two_slashes_does_not_redirect_to_the_host_header(site: Site) -> None:
    prepared = requests.Request("GET", site.url, headers={"Host": "evil.example"}).prepare()
    prepared.url = f"{site.url}//evil.example/account"
    with requests.Session() as session:
        response = session.send(prepared, allow_redirects=False, timeout=5)
    assert response.status_code == 404
    assert "evil.example" not in str(response.headers)


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded"])
def test_no_header_changes_the_sites_url(site: Site, visitor: Visitor, name: str) -> None:
    for path in ("/account", "/auth/login/email"):
        response = visitor.get(path, headers={name: "evil.example"})
        assert "evil.example" not in response.text + str(response.headers)
    assert visitor.get("/account", headers={name: "https"}).headers["Location"].startswith(site.url)


def test_json_clients_get_json_errors(visitor: Visitor) -> None:
    accept = {"Accept": "application/json"}
    assert visitor.get("/nowhere", headers=accept).json()["error"] == "Not Found"
    assert visitor.get("/api/auth/nowhere").json()["error"] == "Not Found"
    response = visitor.get("/account", headers=accept)
    assert (response.status_code, response.json()["error"]) == (401, "SessionRequired")
    fields = {"email": MINJI, "password": "wrong"}
    failed = visitor.submit("/auth/login/email", fields, headers=accept)
    assert (failed.status_code, failed.json()["error"]) == (401, "CredentialsSignin")
    assert failed.json()["url"] == f"{visitor.url}/auth/login/email?error=CredentialsSignin"


# --- Response headers


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_its_security_headers(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Vary"] == "Cookie"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-Id"])
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", JSON)
def test_every_json_answer_has_its_security_headers(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_keeps_other_windows_apart(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    if "html" in headers["Content-Type"] and "Location" not in headers:
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("file", ["site.css", "session.js", "mark.svg"])
def test_a_static_file_cannot_be_framed_or_sniffed(visitor: Visitor, file: str) -> None:
    headers = visitor.get(f"/auth/static/{file}").headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_policy_allows_forms_to_this_site_only(visitor: Visitor) -> None:
    policy = visitor.get("/auth/login/email").headers["Content-Security-Policy"].split("; ")
    assert {"form-action 'self'", "base-uri 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)


def test_the_policy_allows_a_logo_of_another_host_to_load(make_site: SiteMaker) -> None:
    visitor = make_site(logo_url="https://cdn.example.com/logo.svg").new_visitor()
    policy = visitor.get("/auth/login/email").headers["Content-Security-Policy"]
    assert "img-src 'self' data: https://cdn.example.com;" in policy
    assert policy.count("cdn.example.com") == 1


def test_a_versioned_static_file_is_cached_for_a_year_without_cookies(visitor: Visitor) -> None:
    page = visitor.get_page("/auth/login/email")
    links = [link.get("href") for link in page.find_all("link")] + [it.get("src") for it in page.find_all("script")]
    assert {link.partition("?")[0].rpartition(".")[2] for link in links} == {"css", "svg", "js"}
    for link in links:
        response = visitor.get(link)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert set_cookies(response) == []
        assert "Cookie" not in response.headers.get("Vary", "")
        assert "immutable" not in visitor.get(link.partition("?")[0]).headers["Cache-Control"]


def test_a_script_is_the_same_for_everybody_and_no_page_has_one_inside_it(site: Site, visitor: Visitor) -> None:
    visitor.sign_in()
    stranger = site.new_visitor()
    for path in ("/", "/account", "/auth/login/email"):
        for script in visitor.get_page(path).find_all("script"):
            assert script.get("src"), path
            assert not script.text
            assert visitor.get(script.get("src")).content == stranger.get(script.get("src")).content


@pytest.mark.parametrize("file", ["site.css", "session.js"])
@pytest.mark.parametrize("version", ["0123456789ab", ""])
def test_a_static_file_with_another_version_is_cached_briefly(visitor: Visitor, file: str, version: str) -> None:
    """Otherwise, during a release, a shared cache would keep a file of the wrong release for a year."""
    response = visitor.get(f"/auth/static/{file}?v={version}")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "public, max-age=300"


def test_over_https_the_visitor_cookie_has_the_host_prefix_and_hsts_is_sent(make_site: SiteMaker) -> None:
    visitor = make_site(site_url="https://login.example.com").new_visitor()
    response = visitor.get("/auth/login/email")
    (line,) = set_cookies(response)
    assert re.fullmatch(r"__Host-munjigi\.visitor=[^;]+; Secure; HttpOnly; Path=/; SameSite=Lax", line)
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("hsts", "sent"), [("", None), ("max-age=600; includeSubDomains", "max-age=600; includeSubDomains")]
)
def test_the_hsts_header_is_a_setting_for_every_kind_of_answer(hsts: str, sent: str | None) -> None:
    client = app.create_app(make_settings(site_url="https://login.example.com", hsts=hsts)).test_client()
    for path in ("/", "/auth/static/site.css", "/api/auth/session", "/auth/verify", "/nowhere", "/api/auth/signin"):
        assert client.get(path).headers.get("Strict-Transport-Security") == sent, path


def test_over_http_the_visitor_cookie_has_no_prefix(visitor: Visitor) -> None:
    (line,) = set_cookies(visitor.get("/auth/login/email"))
    assert re.fullmatch(r"munjigi\.visitor=[^;]+; HttpOnly; Path=/; SameSite=Lax", line)


@pytest.mark.parametrize("stripped", [True, False])
def test_a_site_under_a_path_works_whether_or_not_the_proxy_strips_it(make_site: SiteMaker, stripped: bool) -> None:
    site = make_site(site_url="https://example.com/login-site")
    visitor = site.new_visitor()
    before = "" if stripped else "/login-site"
    response = visitor.get(f"{before}/account")
    assert response.headers["Location"] == (
        "https://example.com/login-site/auth/login/email?callbackUrl=%2Flogin-site%2Faccount"
    )
    response = visitor.get(f"{before}/auth/login/email?callbackUrl=%2Flogin-site%2Faccount")
    page = Page(response)
    assert page.find_all("form")[0].get("action") == "/login-site/auth/login/email"
    assert page.input_value("callbackUrl") == "https://example.com/login-site/account"
    assert "__Secure-munjigi.visitor" in cookie_names(response)
    assert "Path=/login-site" in set_cookies(response)[0]


@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize(
    "path", ["/auth", "/api", "/static", "/health", "/account", "/auth/login", "/api/auth", "/metrics"]
)
def test_the_path_of_the_site_may_begin_like_one_of_its_routes(make_site: SiteMaker, path: str, stripped: bool) -> None:
    site, base_url = make_site(site_url=f"https://example.com{path}"), "https://example.com"

    def proxy(environ: dict[str, Any], start_response: Any) -> Any:
        if stripped:
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(path)
        return site.app(environ, start_response)

    client = Client(proxy, site.app.response_class)

    def get(url: str) -> Any:
        return client.get(path + url, base_url=base_url)

    for rule in ("/", "/auth/login/email", "/health/live", "/health/ready", "/api/auth/csrf", "/api/auth/session"):
        assert get(rule).status_code == 200, rule
    assert get("/auth/static/site.css").mimetype == "text/css"
    assert get("/auth/verify").status_code == 401
    assert get("/auth/nowhere").status_code == 404
    page = get("/auth/login/email").text
    assert f'action="{path}/auth/login/email"' in page
    fields = {"csrfToken": get("/api/auth/csrf").get_json()["csrfToken"], "email": MINJI, "password": "correct-horse"}
    response = client.post(f"{path}/auth/login/email", data=fields, base_url=base_url)
    assert (response.status_code, response.headers["Location"]) == (303, f"https://example.com{path}/")
    assert get("/api/auth/session").get_json()["user"]["email"] == MINJI
    if (path, stripped) != ("/account", True):  # the path of the home page, too, if the proxy did not strip it
        assert "Signed in as" not in get("/account").text
        assert get("/account").status_code == 200


def test_the_health_endpoints_need_no_backend_and_set_no_cookie(make_site: SiteMaker) -> None:
    visitor = make_site("http://127.0.0.1:1").new_visitor()
    for path in ("/health/live", "/health/ready"):
        response = visitor.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert set_cookies(response) == []


# --- Languages


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.5", "ko"),
        ("en-US,en", "en"),
        ("sv, en;q=0.1", "en"),
        ("sv", "ko"),
        ("", "ko"),
        ("../../etc", "ko"),
        ("x" * 10_000, "ko"),
    ],
)
def test_a_page_uses_the_browsers_language_or_the_default(visitor: Visitor, asked: str, language: str) -> None:
    page = visitor.get_page("/auth/login/email", headers={"Accept-Language": asked})
    assert page.document.get("lang") == language


def test_a_chosen_language_survives_sign_in_and_keeps_the_return_address(visitor: Visitor) -> None:
    page = visitor.get_page("/auth/login/email?callbackUrl=/account")
    korean = next(link.get("href") for link in page.find_all("a[@hreflang='ko']"))
    page = visitor.get_page(korean)
    assert (page.heading, page.input_value("callbackUrl")) == ("로그인", f"{visitor.url}/account")
    visitor.sign_in()
    assert visitor.get_page("/").heading == "민지 님으로 로그인했어요"


def test_an_unavailable_language_is_ignored(visitor: Visitor) -> None:
    assert visitor.get_page("/?lang=sv").document.get("lang") == "en"


# --- Escaping


@pytest.mark.parametrize("hostile", ['"><svg/onload=alert(1)>', "{{7*7}}", "${7*7}", "<script>alert(1)</script>"])
def test_typed_and_linked_text_is_escaped(visitor: Visitor, hostile: str) -> None:
    typed = Page(visitor.sign_in(f"{hostile.replace(' ', '')}@example.com", "wrong"))
    linked = visitor.get_page(
        "/auth/login/email", params={"error": hostile, "callbackUrl": f"/{hostile}", "email": hostile}
    )
    for page in (typed, linked):
        assert not page.find_all("svg[@onload]")
        assert all("/auth/static/" in script.get("src") for script in page.find_all("script"))
        assert "49" not in page.texts("div[@role='alert']/p")[:1]


def test_a_password_in_the_query_is_neither_used_nor_shown(visitor: Visitor) -> None:
    page = visitor.get_page("/auth/login/email?email=a%40b.c&password=hunter2-hunter2")
    assert "hunter2" not in page.text
    assert not visitor.is_signed_in


def test_an_unknown_error_code_shows_the_general_message(visitor: Visitor) -> None:
    assert "Something went wrong. Try again." in visitor.get_page("/auth/login/email?error=Nonsense").message


@pytest.mark.parametrize("path", ["/", "/auth/login/email", "/auth/verify", "/auth/static/site.css"])
def test_raw_bytes_in_the_query_string_are_read_like_their_percent_encoded_form(site: Site, path: str) -> None:
    client = site.app.test_client()
    for raw in ("x=\xff", "\xe9=1", "lang=\xfe&v=\xff", "callbackUrl=/\xed\x95\x9c", "callbackUrl=/\xff"):
        encoded = quote(raw.encode("latin-1"), safe="=/&")
        answers = [client.get(path, environ_overrides={"QUERY_STRING": query}) for query in (raw, encoded)]
        assert answers[0].status_code == answers[1].status_code < 500
    query = {"QUERY_STRING": "callbackUrl=/\xed\x95\x9c"}
    assert "/%ED%95%9C" in client.get("/auth/login/email", environ_overrides=query).text
