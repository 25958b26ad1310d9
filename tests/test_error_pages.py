"""The pages that nobody wants to see."""

import pytest

import app
from tests.site import Page, Site, SiteMaker, Visitor, settings


def test_a_page_that_is_not_there_says_so_and_leads_on(visitor: Visitor) -> None:
    response = visitor.get("/nowhere")
    page = Page(response)
    assert (page.status, page.heading) == (404, "Page not found")
    assert response.headers["X-Request-Id"] in page.text
    assert visitor.page(page.all("main//a")[0].get("href")).status == 200


def test_a_page_used_the_wrong_way_says_so(visitor: Visitor) -> None:
    page = Page(visitor.delete("/account"))
    assert (page.status, page.heading) == (405, "That action is not available here")


@pytest.fixture
def broken(make_site: SiteMaker) -> Site:
    """A site with a bug: its front page and its layout both fail."""
    site = make_site()

    def bug() -> str:
        raise RuntimeError("canary: a secret of the inside")

    site.app.view_functions["home.show"] = bug
    return site


def test_a_bug_is_a_plain_page_with_a_reference_and_nothing_of_the_inside(broken: Site) -> None:
    response = broken.visitor().get("/")
    page = Page(response)
    assert page.status == 500
    assert response.headers["X-Request-Id"] in page.text
    assert "canary" not in page.text
    assert "Traceback" not in page.text
    assert response.headers["Cache-Control"] == "no-store"


def test_a_bug_in_the_layout_of_all_pages_is_the_same_plain_page(broken: Site) -> None:
    broken.app.jinja_env.globals["language_links"] = None
    for path in ("/", "/nowhere", "/auth/login/email"):
        assert Page(broken.visitor().get(path)).status == 500


def test_a_bug_is_json_for_programs(broken: Site) -> None:
    response = broken.visitor().get("/", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]) == (500, "Internal Server Error")


def test_a_site_that_stops_takes_no_more_requests_as_balancers_see_it() -> None:
    client = app.create_app(settings(), lambda: True).test_client()
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200
