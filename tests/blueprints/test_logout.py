"""Sign-out forms that are sent when nobody is signed in any more: from another tab, or after the session expired."""

import pytest

from tests.support.redirects import destination
from tests.support.site import ManualClock, Page, SiteMaker, Visitor, running_site

ALREADY_OUT = "You were signed out on this device already. To sign out on all devices, sign in again first."


@pytest.mark.parametrize(("door", "status"), [("/auth/logout", 303), ("/api/auth/signout", 302)])
def test_a_sign_out_on_all_devices_after_the_session_expired_does_not_claim_that_it_is_done(
    door: str, status: int
) -> None:
    clock = ManualClock()
    with running_site(clock=clock, session_max_age=3600) as site:
        laptop, phone = site.new_visitor(), site.new_visitor()
        laptop.sign_in()
        token = laptop.get_page("/account").input_value("csrfToken")
        clock.advance(4000)
        phone.sign_in()
        response = laptop.post(door, data={"csrfToken": token, "everywhere": "1"})
        assert (response.status_code, response.headers["Location"]) == (status, f"{site.url}/")
        assert laptop.get_page("/").status_messages == [ALREADY_OUT]
        assert phone.is_signed_in


def test_that_message_waits_for_a_click_before_the_browser_goes_on_to_an_app(visitor: Visitor) -> None:
    page = Page(visitor.submit("/auth/logout", {"everywhere": "1", "callbackUrl": "/rooms"}))
    assert page.status_messages == [ALREADY_OUT]
    assert not page.find_all("meta[@http-equiv='refresh']")


@pytest.mark.parametrize("change", ["it signed out in another tab", "the session and the form expired"])
@pytest.mark.parametrize(("target", "location"), [("/rooms?a=1", "/rooms?a=1"), ("//evil.example/", "/")])
def test_an_outdated_sign_out_form_of_somebody_who_is_not_signed_in_is_no_error(
    change: str, target: str, location: str
) -> None:
    clock = ManualClock()
    with running_site(clock=clock) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        fields = {"csrfToken": visitor.get_page("/auth/logout").input_value("csrfToken"), "callbackUrl": target}
        if change == "it signed out in another tab":
            visitor.submit("/auth/logout", {})
        else:
            clock.advance(100 * 24 * 3600)
        response = visitor.post("/auth/logout", data=fields)
        assert response.ok
        assert destination(response) == f"{site.url}{location}"


def test_an_outdated_sign_out_form_of_a_signed_in_user_still_asks_again(make_site: SiteMaker) -> None:
    visitor = make_site().new_visitor()
    token = visitor.csrf_token()
    visitor.sign_in()
    page = Page(visitor.post("/auth/logout", data={"csrfToken": token}))
    assert (page.status, page.heading) == (400, "Do you want to sign out?")
    assert visitor.is_signed_in
