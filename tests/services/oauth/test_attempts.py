"""A social sign-in is finished once, and little is remembered of it."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import errors
import providers
from services.clock import Clock
from services.oauth import attempts
from services.oauth.attempts import Attempt, Attempts
from services.request_context import RequestContext
from tests.support.site import Visitor, a_context, make_settings

ATTEMPT = Attempt("github", None, None)


def once(**given: object) -> Attempts:
    return Attempts(make_settings(**given), Clock())


def test_a_second_callback_waits_for_the_first_and_gets_its_result() -> None:
    ours, begun, goes_on = once(), threading.Event(), threading.Event()

    def finish() -> Any:
        begun.set()
        goes_on.wait(5)
        return "signed in"

    with ThreadPoolExecutor(2) as clicks:
        first = clicks.submit(ours.finish_once, ATTEMPT, finish)
        begun.wait(5)
        second = clicks.submit(ours.finish_once, ATTEMPT, pytest.fail)
        goes_on.set()
        results: list[Any] = [first.result(), second.result(), ours.finish_once(ATTEMPT, pytest.fail)]
    assert results == [("signed in", True), ("signed in", False), ("signed in", False)]


def test_of_two_attempt_cookies_the_one_that_is_signed_counts() -> None:
    ours, context, github = once(), a_context(), providers.find("github")
    ours.save(ATTEMPT, github, context)
    (cookie,) = context.response_cookies

    def bringing(*values: str) -> RequestContext:
        return replace(a_context(), cookies={cookie.name: values})

    for values in (("x", cookie.value), (cookie.value, "x")):
        assert ours.load(github, ATTEMPT.state, bringing(*values)) == ATTEMPT
    assert ours.load(github, ATTEMPT.state, bringing("x", "y")) is None


def test_a_remembered_failure_keeps_no_reference_to_the_request() -> None:
    class Body:
        """An object that a traceback would keep alive."""

    ours, bodies = once(), list[weakref.ref[Body]]()

    def fail() -> Any:
        body = Body()
        bodies.append(weakref.ref(body))
        raise errors.Cancelled("as told")

    raised = []
    with pytest.raises(errors.Cancelled):
        ours.finish_once(ATTEMPT, fail)
    gc.collect()
    assert [body() for body in bodies] == [None]
    for _ in range(2):
        with pytest.raises(errors.Cancelled) as caught:
            ours.finish_once(ATTEMPT, pytest.fail)
        raised.append(caught.value)
    assert raised[0] is not raised[1]


def test_a_second_callback_that_waits_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "EXTRA_SECONDS", 0.0)
    ours, begun, goes_on = once(backend_timeout=0.1), threading.Event(), threading.Event()

    def finish() -> Any:
        begun.set()
        goes_on.wait(5)

    with ThreadPoolExecutor(1) as clicks:
        first = clicks.submit(ours.finish_once, ATTEMPT, finish)
        begun.wait(5)
        with pytest.raises(errors.ProviderUnavailable) as caught:
            ours.finish_once(ATTEMPT, pytest.fail)
        assert caught.value.status == 504
        goes_on.set()
        first.result()


@pytest.mark.parametrize(("characters", "survives"), [(200, True), (226, False)])
def test_a_korean_return_address_survives_repeated_forms(visitor: Visitor, characters: int, survives: bool) -> None:
    asked = "/" + "가" * characters
    for _ in range(3):
        asked = visitor.get_page("/auth/login/email", params={"callbackUrl": asked}).input_value("callbackUrl") or ""
        assert bool(asked) == survives


def test_the_language_links_keep_the_error_of_the_page(visitor: Visitor) -> None:
    page = visitor.get_page("/auth/login/email?error=ProviderUnavailable&reference=0123456789abcdef&wait=57")
    links = [link.get("href") or "" for link in page.find_all("footer//a")]
    assert links
    assert all("reference=0123456789abcdef" in link and "wait=57" in link for link in links)
    assert "57 seconds" in page.message or "57초" in page.message


def test_a_cross_site_form_does_not_change_the_language(visitor: Visitor) -> None:
    before = visitor.get_page("/", headers={"Accept-Language": "ko"}).heading
    response = visitor.post("/auth/login/email?lang=en", data={"a": "b"}, headers={"Origin": "https://evil.example"})
    assert response.status_code == 400
    assert visitor.get_page("/", headers={"Accept-Language": "ko"}).heading == before
