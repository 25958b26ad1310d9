"""What can go wrong, as one tree. Raised where it is known, rendered in one place (`error_pages.py`).

    SiteError                    a code of `?error=`, a status, a sentence for a person
    ├── Refused                  the person, or what they sent, is not let in
    │   ├── CredentialsSignin        unknown address or wrong password: one text for both
    │   ├── AccessDenied
    │   │   └── StepNotSupported         the backend wants a second factor
    │   ├── EmailNotVerified, EmailMissing, OAuthAccountNotLinked
    │   ├── TooManyAttempts          carries the seconds to wait
    │   └── InvalidFields            carries one sentence a field
    ├── StartAgain               nothing is wrong with the person: the way in has to be taken anew
    │   ├── Cancelled, AttemptExpired, FormExpired, CookiesBlocked
    │   └── SessionRequired, SessionExpired
    └── Fault                    not the person's doing; logged as an error
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
    calm = False  # told as a note, not as something that failed
    sentence: LazyString = _l("Something went wrong. Try again.")
    later: LazyString | None = None  # said where it would help to wait, and nobody knows how long

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


class Refused(SiteError):
    pass


class CredentialsSignin(Refused):
    code = "CredentialsSignin"
    status = 401
    sentence = _l(
        "The email address or password is incorrect. Check both and try again."
        " If this keeps happening, the account may be locked."
    )


class AccessDenied(Refused):
    code = "AccessDenied"
    status = 403
    sentence = _l("You cannot sign in here with this account. Use another account, or contact support.")


class StepNotSupported(AccessDenied):
    sentence = _l(
        "This account needs an extra verification step that this page does not have."
        " Sign in another way, or contact support."
    )


class EmailNotVerified(Refused):
    code = "EmailNotVerified"
    status = 403
    sentence = _l("Your email address is not verified yet. Open the link in the email we sent you, then sign in again.")


class OAuthAccountNotLinked(Refused):
    code = "OAuthAccountNotLinked"
    status = 403
    sentence = _l("You cannot sign in this way with this email address. Sign in the way you did before.")


class EmailMissing(Refused):
    code = "EmailMissing"
    status = 422
    sentence = _l(
        "We need your email address, but the service you chose did not share it."
        " Try again and allow it, or sign in another way."
    )


class TooManyAttempts(Refused):
    code = "TooManyAttempts"
    status = 429
    sentence = _l("Too many attempts.")
    later = _l("Wait a moment, then try again.")


class InvalidFields(Refused):
    """What was typed cannot be taken. `fields`: name of the field -> one sentence."""

    code = "InvalidFields"
    status = 422
    sentence = _l("Check what you entered and try again.")

    def __init__(self, fields: Mapping[str, str], reason: str = "") -> None:
        super().__init__(reason)
        self.fields = fields


class StartAgain(SiteError):
    status = 400


class Cancelled(StartAgain):
    code = "Cancelled"
    calm = True
    sentence = _l("Sign-in was cancelled. Try again, or sign in another way.")


class AttemptExpired(StartAgain):
    code = "AttemptExpired"
    sentence = _l("This sign-in took too long or was already used. Start again.")


class FormExpired(StartAgain):
    code = "FormExpired"
    sentence = _l("This page was open for too long. Try again.")


class CookiesBlocked(StartAgain):
    code = "CookiesBlocked"
    sentence = _l(
        "Your browser did not send this site's cookie. Try again."
        " If you see this message again, allow cookies for this site in your browser's settings."
    )


class SessionRequired(StartAgain):
    code = "SessionRequired"
    calm = True
    status = 401
    sentence = _l("Sign in to see this page.")


class SessionExpired(StartAgain):
    code = "SessionExpired"
    calm = True
    status = 401
    sentence = _l("You were signed out. Sign in again to continue.")


class Fault(SiteError):
    pass


class BackendUnavailable(Fault):
    code = "BackendUnavailable"
    status = 502
    sentence = _l("Our service is not responding right now. The problem is on our side.")
    later = _l("Wait a moment, then try again.")


class ProviderUnavailable(Fault):
    code = "ProviderUnavailable"
    status = 502
    sentence = _l("The service you chose is not responding right now. Try again, or sign in another way.")


class OAuthSignin(Fault):
    code = "OAuthSignin"
    status = 502
    sentence = _l("We could not open the sign-in page of the service you chose. Try again, or sign in another way.")


class OAuthCallback(Fault):
    code = "OAuthCallback"
    status = 502
    sentence = _l("The service you chose did not confirm your sign-in. Try again, or sign in another way.")


class Callback(Fault):
    code = "Callback"
    status = 502
    sentence = _l("Our service did not confirm your sign-in. Try again, or sign in another way.")


class Configuration(Fault):
    code = "Configuration"
    status = 502
    sentence = _l("Sign-in is not set up correctly on this site. Trying again will not help. Contact support.")


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
