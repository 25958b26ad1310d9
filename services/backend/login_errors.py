"""What a backend means by an answer that is no yes: `docs/decisions/0005-what-a-backends-answer-means.md`."""

import errors
from services.backend.user import clean_text
from services.http.response import UpstreamResponse

DEFAULT_WAIT = 60
"""Seconds to wait where the backend does not say how many."""


def of_login(answer: UpstreamResponse) -> errors.SiteError:
    """The error of a sign-in that brought no token.

    Whether an account exists must not show: all that may mean "unknown" or "wrong" is one error.
    """
    match answer.status:
        case 422:
            return _unprocessable(answer)
        case 400 | 401 | 404 | 410 | 423:
            return errors.CredentialsSignin(f"/login answered {answer.status}")
        case 403:
            return errors.EmailNotVerified("/login answered 403")
        case 409:
            return errors.OAuthAccountNotLinked("/login answered 409")
        case _:
            return fault(answer, "/login")


def of_social(answer: UpstreamResponse) -> errors.SiteError:
    """The error of a social sign-in that brought no token."""
    reason = f"the social path answered {answer.status}"
    match answer.status:
        case 422 if answer.get_path("errors", "email") is not None:
            return errors.EmailMissing(reason)
        case 400 | 401 | 422 | 500:  # 500: what Laravel makes of a token that its provider refuses
            return errors.Callback(reason)
        case 403:
            return errors.EmailNotVerified(reason)
        case 409:
            return errors.OAuthAccountNotLinked(reason)
        case 410 | 423:
            return errors.AccessDenied(reason)
        case _:
            return fault(answer, "the social path")


def _unprocessable(answer: UpstreamResponse) -> errors.SiteError:
    """422 is Laravel's answer to wrong credentials (one of our two fields) and to a malformed request."""
    found = answer.get_path("errors")
    fields = set(found) if isinstance(found, dict) else set()
    if fields == {"email", "password"}:
        return errors.InvalidFields(field_messages(answer, ("email", "password")))
    if unknown := fields - {"email", "password"}:
        names = ", ".join(sorted(filter(None, map(clean_text, unknown))))
        return errors.Configuration(f"/login wants fields that this site does not send: {names[:200]}")
    return errors.CredentialsSignin("/login answered 422")


def field_messages(answer: UpstreamResponse, known: tuple[str, ...]) -> dict[str, str]:
    """The backend's own sentence for each of our fields, bounded: the only text of a backend that is shown."""
    messages: dict[str, str] = {}
    for name in known:
        found = answer.get_path("errors", name)
        first = found[0] if isinstance(found, list) and found else found
        if sentence := clean_text(first, 200):
            messages[name] = sentence
    return messages


def fault(answer: UpstreamResponse, place: str) -> errors.SiteError:
    """The error of an answer that says nothing of the person, but of the backend or its settings."""
    reason = f"{place} answered {answer.status}"
    match answer.status:
        case 429:
            return errors.TooManyAttempts(reason, retry_after=answer.retry_after() or DEFAULT_WAIT)
        case 503:
            return errors.BackendUnavailable(reason, status=503, retry_after=answer.retry_after() or DEFAULT_WAIT)
        case status if 400 <= status < 500 and status not in (408, 413):
            return errors.Configuration(f"{reason}: check BACKEND_URL and the paths below it")
        case status if 300 <= status < 400:
            return errors.BackendUnavailable(f"{reason}, a redirect: check BACKEND_URL")
        case _:
            return errors.BackendUnavailable(reason)
