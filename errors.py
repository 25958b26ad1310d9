"""All errors that end a request. Services raise them; `web/error_handlers.py` renders them.

    SiteError                           code, HTTP status and message; the base of all
    ├── Rejected                        the site refuses the user or their input
    │   ├── CredentialsSignin           wrong email address or wrong password: one message for both
    │   ├── AccessDenied                the backend or the provider refuses this account
    │   │   └── SecondFactorRequired    the backend asks for a next step that the site cannot show
    │   │       └── FieldsRequired      the same for fields of a new account
    │   ├── WrongCode                   the code of a next step is wrong
    │   │   └── StepNotDone             the person has not done yet what the backend's page wants
    │   ├── CodeExpired                 the code of a next step is no longer accepted
    │   ├── PasskeyRejected             the backend does not accept the passkey
    │   │   └── PasskeyNotAdded         the backend does not add the new passkey
    │   ├── AccountMismatch             somebody else than the signed-in person has confirmed the session
    │   ├── EmailNotVerified            the backend requires a verified email address
    │   ├── OAuthAccountNotLinked       the backend has this email address with another way to sign in
    │   ├── LinkedElsewhere             the provider's account is connected to another user
    │   ├── LastSignInMethod            the backend keeps the only way to sign in that a user has
    │   │   └── LastPasskey             the same for a passkey
    │   ├── EmailMissing                the provider did not share the email address
    │   ├── TooManyAttempts             a login limit, or the backend's; `retry_after` has the seconds to wait
    │   │   ├── CodeSentRecently        it is too early for another code
    │   │   └── TooManyCodes            too many codes for one sign-in, which has ended
    │   ├── SignUpClosed                the backend creates no accounts
    │   └── InvalidFields               `fields` has one message for each invalid field
    │       ├── AccountExists           the backend has an account with this identifier, and says so
    │       ├── WeakPassword            the new password does not follow the backend's rules
    │       └── WrongPassword           the current password is wrong
    ├── NextStepRequired                no error: the sign-in continues at the page of the next step
    ├── RestartRequired                 the user has to start again
    │   ├── Cancelled                   the user cancelled at the provider
    │   ├── InvalidCode                 the code or link of a mail is wrong, expired or used
    │   ├── AttemptExpired              the OAuth attempt is unknown, too old or already used
    │   ├── CsrfError                   the CSRF check failed
    │   │   ├── FormExpired             the CSRF token is missing or invalid
    │   │   ├── CookiesBlocked          the form came without the cookie that belongs to it
    │   │   └── OriginMismatch          another site sent the form, or SITE_URL is not the address that people use
    │   ├── SessionChanged              somebody has signed in anew while a provider was being connected
    │   ├── SessionRequired             the page needs a session
    │   ├── RecentSignInRequired        the person has to confirm the session first
    │   └── SessionExpired              the session has ended
    └── ServerSideError                 not caused by the user; logged with level ERROR
        ├── BackendUnavailable          no response from the backend, or an invalid one
        │   └── TokenRefreshFailed      the tokens of a session cannot be refreshed now
        ├── ProviderUnavailable         no response from the provider, or an invalid one
        ├── OAuthSignin                 never raised; NextAuth's code for a sign-in that could not start
        ├── OAuthCallback               the provider's callback, token response or id_token is invalid
        ├── LinkRefused                 the backend does not connect the provider's account
        ├── Callback                    the backend refuses the provider's token, or returns none of its own
        └── Configuration               only the operator can fix it
            └── SessionTooLarge         the session does not fit into the cookies

`code` is the value of the query parameter `error`. It is a code of NextAuth v4 where that has one
(https://next-auth.js.org/configuration/pages#error-codes), otherwise one of this site's own.
"""

from collections.abc import Iterator, Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString


class SiteError(Exception):
    """The base of all errors that a user sees.

    `reason` is written to the log and never shown. It must not contain a secret. `retry_after` is in seconds; None if
    the time to wait is unknown. `may_be_refusal`: the backend has answered a refresh, and this may be its refusal.
    """

    code = "Default"
    status = 500
    is_notice = False  # shown as a notice, not as an error
    message: LazyString = _l("Something went wrong. Try again.")
    retry_hint: LazyString | None = None  # shown with the message if `retry_after` is None
    may_be_refusal = False
    backend_message: str | None = None  # the backend's own sentence, shown instead of `message`

    def __init__(self, reason: str = "", *, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status or self.status
        self.retry_after = retry_after

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


class FieldsRequired(SecondFactorRequired):
    """The backend wants further fields before it creates an account."""

    message = _l(
        "A new account needs more details than this page can ask for. Create the account another way, or contact"
        " support."
    )


class AccountMismatch(Rejected):
    code = "AccountMismatch"
    status = 403
    message = _l("This is another account, not the one that you are signed in with. Use the same account again.")


class WrongCode(Rejected):
    code = "WrongCode"
    status = 401
    message = _l("This code is wrong. Check it and try again.")


class StepNotDone(WrongCode):
    code = "StepNotDone"
    message = _l("That step is not finished yet. Finish it there, then continue here.")


class CodeExpired(Rejected):
    code = "CodeExpired"
    status = 401
    message = _l("This code is no longer valid. Enter a new one.")


class PasskeyRejected(Rejected):
    code = "PasskeyRejected"
    status = 401
    message = _l("This passkey was not accepted. Try again, or sign in another way.")


class PasskeyNotAdded(PasskeyRejected):
    code = "PasskeyNotAdded"
    status = 422
    message = _l("This passkey was not accepted. Try again, or use another device.")


class EmailNotVerified(Rejected):
    code = "EmailNotVerified"
    status = 403
    message = _l("Your email address is not verified yet. Open the link in the email we sent you, then sign in again.")


class OAuthAccountNotLinked(Rejected):
    code = "OAuthAccountNotLinked"
    status = 403
    message = _l("You cannot sign in this way with this email address. Sign in the way you did before.")


class LinkedElsewhere(Rejected):
    code = "LinkedElsewhere"
    status = 409
    message = _l(
        "This service is already connected to another account."
        " Sign in to that account and disconnect it there, then connect it here."
    )


class LastSignInMethod(Rejected):
    code = "LastSignInMethod"
    status = 409
    message = _l(
        "This service stays connected, because you may have no other way to sign in."
        " Set a password or connect another service first."
    )


class LastPasskey(LastSignInMethod):
    message = _l("It was not removed, because you may have no other way to sign in. Add something else first.")


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


class CodeSentRecently(TooManyAttempts):
    code = "CodeSentRecently"
    message = _l("We sent a code a short while ago.")


class TooManyCodes(TooManyAttempts):
    code = "TooManyCodes"
    message = _l("Too many wrong codes. Sign in again to try once more.")
    retry_hint = None


class InvalidFields(Rejected):
    """Form input is invalid. `fields`: name of the form field -> message."""

    code = "InvalidFields"
    status = 422
    message = _l("Check what you entered and try again.")

    def __init__(self, fields: Mapping[str, str], reason: str = "") -> None:
        super().__init__(reason)
        self.fields = fields


class _InvalidField(InvalidFields):
    """`field`: the name of the only invalid field of the form, which gets this message."""

    field: str
    field_message: LazyString

    def __init__(self, reason: str = "") -> None:
        super().__init__({self.field: self.field_message}, reason)


class AccountExists(_InvalidField):
    field = "email"
    field_message = _l("There is already an account with these details. Sign in, or enter different ones.")


class WeakPassword(_InvalidField):
    field = "new_password"
    field_message = _l("This password is too easy to guess or too short. Choose another one.")


class WrongPassword(_InvalidField):
    field = "password"
    field_message = _l("The current password is incorrect.")


class SignUpClosed(Rejected):
    code = "SignUpClosed"
    status = 403
    message = _l("New accounts cannot be created here at the moment. Contact support.")


class NextStepRequired(SiteError):
    """The sign-in is pending. `sealed`: the value of its cookie, which the response has to set. `kind`: its kind."""

    code = "NextStepRequired"
    status = 401
    is_notice = True
    message = _l("One more step is needed to sign in.")
    sealed: str = ""
    kind: str = ""


class RestartRequired(SiteError):
    status = 400


class InvalidCode(RestartRequired):
    code = "Verification"
    message = _l("This link or code no longer works. It may be too old, or already used. Ask for a new one.")


class Cancelled(RestartRequired):
    code = "Cancelled"
    is_notice = True
    message = _l("Sign-in was cancelled. Try again, or sign in another way.")


class AttemptExpired(RestartRequired):
    code = "AttemptExpired"
    message = _l("This sign-in took too long, was already used, or began in another browser. Start again.")


class CsrfError(RestartRequired):
    pass


class FormExpired(CsrfError):
    code = "FormExpired"
    message = _l("This page was open for too long. Try again.")


class CookiesBlocked(CsrfError):
    code = "CookiesBlocked"
    message = _l(
        "Your browser did not send this site's cookie. Try again."
        " If you see this message again, allow cookies for this site in your browser's settings."
    )


class OriginMismatch(CsrfError):
    code = "OriginMismatch"
    message = _l(
        "This form was sent from another web address, not from this site. Open this page again and try from there."
        " If you see this message again, contact support."
    )


class SessionChanged(RestartRequired):
    code = "SessionChanged"
    message = _l("You signed in again in the meantime. Nothing was connected. Start again.")


class SessionRequired(RestartRequired):
    code = "SessionRequired"
    is_notice = True
    status = 401
    message = _l("Sign in to see this page.")


class RecentSignInRequired(RestartRequired):
    code = "RecentSignInRequired"
    is_notice = True
    status = 403
    message = _l("Sign in again to continue.")


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
    was_sent = True  # False if it is certain that the backend did not get the request
    was_answered = True  # False if no answer came


class TokenRefreshFailed(BackendUnavailable):
    """The tokens of one session cannot be refreshed now. It says nothing about other sessions."""


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


class LinkRefused(ServerSideError):
    code = "LinkRefused"
    status = 502
    message = _l("Our service did not connect it. Try again, or contact support.")


class Callback(ServerSideError):
    code = "Callback"
    status = 502
    message = _l("Our service did not confirm your sign-in. Try again, or sign in another way.")


class Configuration(ServerSideError):
    code = "Configuration"
    status = 502
    message = _l("Sign-in is not set up correctly on this site. Trying again will not help. Contact support.")


class SessionTooLarge(Configuration):
    """The session does not fit into the cookies: `MAX_CHUNKS` in `services/sessions/cookie.py`."""


def _subclasses(error_class: type[SiteError]) -> Iterator[type[SiteError]]:
    for child in error_class.__subclasses__():
        yield child
        yield from _subclasses(child)


def from_attributes(class_name: str, attributes: Mapping[str, object]) -> SiteError:
    """Return an error that another process has raised, from the name of its class and its `vars`."""
    error_class = next((each for each in _subclasses(SiteError) if each.__name__ == class_name), SiteError)
    error = error_class.__new__(error_class, attributes.get("reason", ""))
    vars(error).update(attributes)
    return error


def from_code(code: str | None) -> SiteError | None:
    """Return the error for the query parameter `error`: None without a code, `SiteError` for an unknown code."""
    if not code:
        return None
    matches = (error for error in _subclasses(SiteError) if error.code == code and not issubclass(error, InvalidFields))
    return next(matches, SiteError)()
