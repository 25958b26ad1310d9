"""What can go wrong, as one tree. Raised where it is known, rendered in one place (`error_pages.py`).

    SiteError                    a code of `?error=`, a status, a sentence for a person
    ├── Rejected                  the person, or what they sent, is not let in
    │   ├── CredentialsSignin        unknown address or wrong password: one text for both
    │   ├── AccessDenied
    │   │   └── SecondFactorRequired         the backend wants a second factor
    │   ├── EmailNotVerified, EmailMissing, OAuthAccountNotLinked
    │   ├── TooManyAttempts          carries the seconds to wait
    │   └── InvalidFields            carries one sentence a field
    ├── RestartRequired               nothing is wrong with the person: the way in has to be taken anew
    │   ├── Cancelled, AttemptExpired, FormExpired, CookiesBlocked
    │   └── SessionRequired, SessionExpired
    └── ServerSideError                    not the person's doing; logged as an error
        ├── BackendUnavailable       no answer, or none that can be used
        ├── ProviderUnavailable
        ├── OAuthSignin, OAuthCallback, Callback
        └── Configuration            only the operator can mend it
            └── SessionTooLarge

Codes are NextAuth v4's where it has one, else ours (contract, section 7).
"""

from collections.abc import Iterator, Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString


class SiteError(Exception):
    """Something a person has to be told.

    `reason` is for the log alone: it never reaches a page, and never holds a secret.
    """

    code = "Default"
    status = 500
    is_notice = False  # told as a note, not as something that failed
    message: LazyString = _l("Something went wrong. Try again.")
    retry_hint: LazyString | None = None  # said where it would help to wait, and nobody knows how long

    def __init__(self, reason: str = "", *, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status or self.status
        self.retry_after = retry_after  # seconds; None where nothing is known

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}" if self.reason else self.code


class Rejected(SiteError):
    pass


class CredentialsSignin(Rejected):
    code = "CredentialsSignin"
    status = 401
    message = _l(
        "The email address or password is incorrect. Check both and try again."
        " If this keeps happening, the account may be locked."
    )


class AccessDenied(Rejected):
    code = "AccessDenied"
    status = 403
    message = _l("You cannot sign in here with this account. Use another account, or contact support.")


class SecondFactorRequired(AccessDenied):
    message = _l(
        "This account needs an extra verification step that this page does not have."
        " Sign in another way, or contact support."
    )


class EmailNotVerified(Rejected):
    code = "EmailNotVerified"
    status = 403
    message = _l("Your email address is not verified yet. Open the link in the email we sent you, then sign in again.")


class OAuthAccountNotLinked(Rejected):
    code = "OAuthAccountNotLinked"
    status = 403
    message = _l("You cannot sign in this way with this email address. Sign in the way you did before.")


class EmailMissing(Rejected):
    code = "EmailMissing"
    status = 422
    message = _l(
        "We need your email address, but the service you chose did not share it."
        " Try again and allow it, or sign in another way."
    )


class TooManyAttempts(Rejected):
    code = "TooManyAttempts"
    status = 429
    message = _l("Too many attempts.")
    retry_hint = _l("Wait a moment, then try again.")


class InvalidFields(Rejected):
    """What was typed cannot be taken. `fields`: name of the field -> one sentence."""

    code = "InvalidFields"
    status = 422
    message = _l("Check what you entered and try again.")

    def __init__(self, fields: Mapping[str, str], reason: str = "") -> None:
        super().__init__(reason)
        self.fields = fields


class RestartRequired(SiteError):
    status = 400


class Cancelled(RestartRequired):
    code = "Cancelled"
    is_notice = True
    message = _l("Sign-in was cancelled. Try again, or sign in another way.")


class AttemptExpired(RestartRequired):
    code = "AttemptExpired"
    message = _l("This sign-in took too long or was already used. Start again.")


class FormExpired(RestartRequired):
    code = "FormExpired"
    message = _l("This page was open for too long. Try again.")


class CookiesBlocked(RestartRequired):
    code = "CookiesBlocked"
    message = _l(
        "Your browser did not send this site's cookie. Try again."
        " If you see this message again, allow cookies for this site in your browser's settings."
    )


class SessionRequired(RestartRequired):
    code = "SessionRequired"
    is_notice = True
    status = 401
    message = _l("Sign in to see this page.")


class SessionExpired(RestartRequired):
    code = "SessionExpired"
    is_notice = True
    status = 401
    message = _l("You were signed out. Sign in again to continue.")


class ServerSideError(SiteError):
    pass


class BackendUnavailable(ServerSideError):
    code = "BackendUnavailable"
    status = 502
    message = _l("Our service is not responding right now. The problem is on our side.")
    retry_hint = _l("Wait a moment, then try again.")


class ProviderUnavailable(ServerSideError):
    code = "ProviderUnavailable"
    status = 502
    message = _l("The service you chose is not responding right now. Try again, or sign in another way.")


class OAuthSignin(ServerSideError):
    code = "OAuthSignin"
    status = 502
    message = _l("We could not open the sign-in page of the service you chose. Try again, or sign in another way.")


class OAuthCallback(ServerSideError):
    code = "OAuthCallback"
    status = 502
    message = _l("The service you chose did not confirm your sign-in. Try again, or sign in another way.")


class Callback(ServerSideError):
    code = "Callback"
    status = 502
    message = _l("Our service did not confirm your sign-in. Try again, or sign in another way.")


class Configuration(ServerSideError):
    code = "Configuration"
    status = 502
    message = _l("Sign-in is not set up correctly on this site. Trying again will not help. Contact support.")


class SessionTooLarge(Configuration):
    """The person's token and names do not fit into the cookies that browsers and servers let pass."""


def _below(kind: type[SiteError]) -> Iterator[type[SiteError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def from_code(code: str | None) -> SiteError | None:
    """The error that `?error=<code>` names; None without a code, the general one for an unknown one."""
    if not code:
        return None
    named = (kind for kind in _below(SiteError) if kind.code == code and kind is not InvalidFields)
    return next(named, SiteError)()
