"""Error pages."""

import pytest

import app
from tests.support.site import Page, Site, SiteMaker, Visitor, make_settings


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
