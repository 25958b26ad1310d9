"""The error that a response of the backend means: `docs/decisions/0005-what-a-backends-answer-means.md`."""

import errors
from services.backend.user import clean_text
from services.http.response import UpstreamResponse

DEFAULT_RETRY_AFTER = 60
"""Seconds to wait if the backend does not say how many."""


def check_answer(response: UpstreamResponse, place: str) -> None:
    """Raise the error of an answer that is not the backend's own. Such an answer says nothing about the person.

    Bot protections, firewalls, proxies and web servers answer with HTML or without a body, with statuses that a
    backend uses for people: 403, 404, 429. An empty 401 counts: Spring's filters answer a wrong password with it.
    """
    is_success = 200 <= response.status < 300
    is_text = not response.is_html and (is_success or response.status in (401, 429))
    if response.protection or not (is_text or response.json() is not None):
        raise backend_error(response, place)


def login_error(response: UpstreamResponse) -> errors.SiteError:
    """The error of a sign-in without a token.

    Everything that may mean "unknown account" or "wrong password" is one error: the page must not reveal which.
    """
    match response.status:
        case 422:
            return _unprocessable(response)
        case 400 | 401 | 404 | 410 | 423:
            return errors.CredentialsSignin(f"/login answered {response.status}")
        case 403:
            return errors.EmailNotVerified("/login answered 403")
        case 409:
            return errors.OAuthAccountNotLinked("/login answered 409")
        case _:
            return backend_error(response, "/login")


def social_login_error(response: UpstreamResponse) -> errors.SiteError:
    """The error of a social sign-in without a token."""
    reason = f"the social path answered {response.status}"
    match response.status:
        case 422 if response.get_path("errors", "email") is not None:
            return errors.EmailMissing(reason)
        case 400 | 401 | 422 | 500:  # 500: Laravel's answer to a token that the provider rejects
            return errors.Callback(reason)
        case 403:
            return errors.EmailNotVerified(reason)
        case 409:
            return errors.OAuthAccountNotLinked(reason)
        case 410 | 423:
            return errors.AccessDenied(reason)
        case _:
            return backend_error(response, "the social path")


def _unprocessable(response: UpstreamResponse) -> errors.SiteError:
    """422 is Laravel's answer to wrong credentials (an error for one of the two fields) and to a malformed request."""
    messages = response.get_path("errors")
    fields = set(messages) if isinstance(messages, dict) else set()
    if fields == {"email", "password"}:
        return errors.InvalidFields(field_messages(response, ("email", "password")))
    if unknown := fields - {"email", "password"}:
        names = ", ".join(sorted(filter(None, map(clean_text, unknown))))
        return errors.Configuration(f"/login wants fields that this site does not send: {names[:200]}")
    return errors.CredentialsSignin("/login answered 422")


def field_messages(response: UpstreamResponse, fields: tuple[str, ...]) -> dict[str, str]:
    """The backend's message for each of these fields, bounded. No other text of a backend is shown to people."""
    messages: dict[str, str] = {}
    for name in fields:
        value = response.get_path("errors", name)
        first = value[0] if isinstance(value, list) and value else value
        if message := clean_text(first, 200):
            messages[name] = message
    return messages


def backend_error(response: UpstreamResponse, place: str) -> errors.SiteError:
    """The error of a response that says nothing about the person, but about the backend or its settings."""
    reason = f"{place} answered {response.status}{response.kind}"
    if response.protection:
        return errors.Configuration(f"{reason}: let this site's requests pass")
    retry_after = response.retry_after() or DEFAULT_RETRY_AFTER
    match response.status:
        case 429 if not response.is_html:
            return errors.TooManyAttempts(reason, retry_after=retry_after)
        case 429 | 503:  # a page with 429 is of something that counts this site's requests, not this person's
            return errors.BackendUnavailable(reason, status=503, retry_after=retry_after)
        case status if 400 <= status < 500 and status not in (408, 413):
            return errors.Configuration(f"{reason}: check BACKEND_URL and the paths below it")
        case status if 300 <= status < 400:
            return errors.BackendUnavailable(f"{reason}, a redirect: check BACKEND_URL")
        case _:
            return errors.BackendUnavailable(f"{reason}: check BACKEND_URL" if response.is_html else reason)
