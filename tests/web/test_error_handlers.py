"""Error pages."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import app
from dev.backend import PASSWORD
from services.backend.user import User
from tests.support.logs import captured_log
from tests.support.scripted import USER
from tests.support.site import MINJI, Page, Site, SiteMaker, Visitor, make_settings


def test_a_missing_page_is_404_with_a_link_that_works(visitor: Visitor) -> None:
    response = visitor.get("/nowhere")
    page = Page(response)
    assert (page.status, page.heading) == (404, "Page not found")
    assert response.headers["X-Request-Id"] in page.text
    assert visitor.get_page(page.find_all("main//a")[0].get("href")).status == 200


def test_a_wrong_method_shows_an_error_page(visitor: Visitor) -> None:
    page = Page(visitor.delete("/account"))
    assert (page.status, page.heading) == (405, "That action is not available here")


@pytest.fixture
def broken(make_site: SiteMaker) -> Site:
    """A site with a bug: its home page and its base template both fail."""
    site = make_site()

    def bug() -> str:
        raise RuntimeError("canary: a secret of the inside")

    site.app.view_functions["home.show"] = bug
    return site


@pytest.mark.parametrize("template", ["{{ nothing }}", "{% block x", "{% extends '500.html' %}"])
def test_a_500_page_of_an_operator_that_fails_is_replaced_by_that_of_the_site(
    make_site: SiteMaker, tmp_path: Path, template: str
) -> None:
    for name in ("500.html", "home.html"):
        (tmp_path / name).write_text(template)
    response = make_site(templates_dir=tmp_path).new_visitor().get("/")
    page = Page(response)
    assert (page.status, page.heading) == (500, "Something went wrong on our side")
    assert response.headers["X-Request-Id"] in page.text


def test_a_server_error_page_shows_the_request_id_and_no_details(broken: Site) -> None:
    response = broken.new_visitor().get("/")
    page = Page(response)
    assert page.status == 500
    assert response.headers["X-Request-Id"] in page.text
    assert "canary" not in page.text
    assert "Traceback" not in page.text
    assert response.headers["Cache-Control"] == "no-store"


def test_a_server_error_in_the_base_template_shows_the_same_page(broken: Site) -> None:
    broken.app.jinja_env.globals["language_links"] = None
    for path in ("/", "/nowhere", "/auth/login/email"):
        assert Page(broken.new_visitor().get(path)).status == 500


def test_a_server_error_is_json_for_json_clients(broken: Site) -> None:
    response = broken.new_visitor().get("/", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]) == (500, "Internal Server Error")


def test_a_stopping_site_is_live_but_not_ready() -> None:
    client = app.create_app(make_settings(), lambda: True).test_client()
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200


# --- References


def reference_of(response: requests.Response) -> str | None:
    """Return the reference that a page or a JSON answer shows."""
    if response.headers["Content-Type"] == "application/json":
        return str(response.json()["requestId"])
    codes = Page(response).texts("p[@class='reference']/code")
    return codes[0] if codes else None


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/auth/static/none.css", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/metrics", 404),
        ("DELETE", "/account", 405),
        ("GET", "/api/auth/signin/none", 405),
        ("PUT", "/", 405),
        ("POST", "/auth/login/email", 413),
        ("POST", "/auth/login/email", 415),
        ("POST", "/auth/login/email", 400),
        ("POST", "/api/auth/callback/kakao", 404),
        ("POST", "/api/auth/signin/kakao", 404),
    ],
)
def test_each_reference_that_is_shown_is_in_the_log(
    visitor: Visitor, accept: str, method: str, path: str, status: int
) -> None:
    types = {415: "text/plain", 404: "application/x-www-form-urlencoded"}
    headers = {"Accept": accept, "Content-Type": types.get(status, "application/x-www-form-urlencoded")}
    body = {413: f"x={'x' * 70_000}", 415: "x", 400: "email=%ff", 404: f"csrfToken={visitor.csrf_token()}"}
    with captured_log() as log:
        response = visitor.request(method, path, headers=headers, data=body[status] if method == "POST" else None)
    assert response.status_code == status
    shown = reference_of(response)
    assert shown == response.headers["X-Request-Id"]
    (line,) = [line for line in log.getvalue().splitlines() if f"request={shown}" in line]
    assert f"reference_shown request={shown} method={method} path={path} status={status}" in line


def test_the_reference_of_a_failing_backend_is_in_the_log(shared_site: SiteMaker) -> None:
    site = shared_site(backend_url="http://127.0.0.1:1")
    visitor, member = site.new_visitor(), site.visitor_signed_in_ago(0, User.from_json(USER))
    with captured_log() as log:
        answers = [
            visitor.sign_in(),
            visitor.get("/auth/login/email?error=Configuration"),
            member.submit("/account", {"name": "x", "nick_name": ""}),
        ]
    shown = [reference_of(answer) for answer in answers]
    assert len(set(shown)) == 3
    assert None not in shown
    assert [reference for reference in shown if f"request={reference}" not in log.getvalue()] == []


def test_a_page_without_a_reference_writes_no_line(visitor: Visitor) -> None:
    with captured_log() as log:
        for path in ("/", "/auth/login/email", "/auth/login/email?error=AccessDenied", "/auth/logout"):
            visitor.get(path)
    assert "reference_shown" not in log.getvalue()


# --- Text of a link


PARAMETERS = ("error", "reference", "wait", "lang", "next", "csrf", "state", "code", "message", "name", "login_hint")


@pytest.mark.parametrize("path", ["/", "/auth/login/email", "/auth/logout", "/account", "/nowhere", "/api/auth/signin"])
@pytest.mark.parametrize("signed_in", [False, True])
def test_the_text_of_a_link_is_repeated_on_no_page(visitor: Visitor, path: str, signed_in: bool) -> None:
    if signed_in:
        visitor.sign_in()
    values = {name: f"Ev1lCanary-{name}" for name in PARAMETERS}
    for query in ([*values.items()], [("Ev1lCanary", "1")], [("callbackUrl", "https://Ev1lCanary.example/")]):
        response = visitor.get(path, params=query)
        for _ in range(3):
            assert "Ev1lCanary" not in response.text
            if "Location" in response.headers:
                assert "Ev1lCanary" not in response.headers["Location"]
                response = visitor.get(response.headers["Location"])


def test_the_language_links_keep_the_known_parameters_of_an_error(visitor: Visitor) -> None:
    known = "error=TooManyAttempts&wait=57&reference=0123456789abcdef"
    page = visitor.get_page(f"/auth/login/email?callbackUrl=/rooms&{known}&x=1")
    links = [link.get("href") for link in page.find_all("footer//a")]
    assert len(links) > 2
    for link in links:
        query = parse_qs(urlsplit(link).query)
        assert {**query, "lang": None} == {
            "callbackUrl": [f"{visitor.url}/rooms"],
            "error": ["TooManyAttempts"],
            "reference": ["0123456789abcdef"],
            "wait": ["57"],
            "lang": None,
        }


@pytest.mark.parametrize("query", ["reference=0123456789ABCDEF", "reference=x", "wait=-1", "wait=057", "wait=1e9"])
def test_invalid_parameters_of_an_error_are_dropped(visitor: Visitor, query: str) -> None:
    page = visitor.get_page(f"/auth/login/email?error=TooManyAttempts&{query}")
    assert query.partition("=")[2] not in " ".join(link.get("href") for link in page.find_all("footer//a"))


def test_the_language_links_of_an_answer_to_a_form_lead_to_pages(visitor: Visitor) -> None:
    for path in ("/auth/login/email", "/api/auth/callback/email", "/auth/logout", "/api/auth/signout"):
        fields = {"email": MINJI, "password": PASSWORD, "callbackUrl": "/rooms"}
        page = Page(visitor.submit(path, fields))
        link = page.find_all("footer//a[@hreflang='ko']")[0].get("href")
        assert visitor.get(link).status_code in (200, 303)
