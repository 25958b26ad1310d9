"""The use cases of forms about an account: sign up, set a new password, verify an address.

The backend owns the accounts and sends the mails. These forms do not reveal whether an account exists: answers
and statuses are the same, and so are times unless the backend takes longer than `MIN_ANSWER_SECONDS` to send a mail.
The exception is the sign-up, where the backend may reveal it.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

import errors
from config import Settings
from services import identifiers
from services.backend.account_calls import AccountCalls
from services.backend.client import BackendClient
from services.backend.results import Login
from services.clock import Clock
from services.event_loop import wait_for
from services.limits.rate_limiter import RateLimiter
from services.observability.audit import AuditLog, account_hash
from services.profile import Profile
from services.request_context import RequestContext
from services.sessions.manager import Sessions
from services.sessions.model import Session
from services.sign_in import SignIn
from services.sign_in_options import SignInOptions

log = logging.getLogger("munjigi.accounts")

MIN_ANSWER_SECONDS = 1.0
"""A request for a mail takes at least this long. A backend takes longer to answer if it sends a mail, which would
reveal that the account exists."""


class FormOutcome(Enum):
    """What the person has to do after a form."""

    SIGNED_IN = "signed in"
    SIGN_IN = "has to sign in"
    SIGN_IN_AGAIN = "has to sign in again"
    """All sessions of the person have ended."""
    VERIFY = "has to verify"
    """Verify the address. Also if the account existed before, and the backend does not reveal that."""


class Accounts:
    def __init__(
        self,
        settings: Settings,
        *,
        calls: AccountCalls,
        backend: BackendClient,
        sessions: Sessions,
        sign_in: SignIn,
        profile: Profile,
        limiter: RateLimiter,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._secret_key = settings.secret_key
        self._identifier_kind = settings.login_identifier
        self._ends_refresh_token = settings.backend.ends_refresh_token_with_password
        self._calls = calls
        self._backend = backend
        self._sessions = sessions
        self._sign_in = sign_in
        self._profile = profile
        self._limiter = limiter
        self._audit = audit
        self._clock = clock

    def has(self, call: str) -> bool:
        """Whether the backend has this call of `backends.base.ACCOUNT_CALLS`."""
        return self._calls.has(call)

    def asks_for(self, call: str) -> frozenset[str]:
        """The placeholders that the backend wants for this call."""
        return self._calls.asks_for(call)

    @property
    def checks_current_password(self) -> bool:
        """Whether the backend checks the current password when it is changed. If not, the site signs in with it."""
        return self._calls.checks_current_password

    def account(self, identifier: str | None) -> str | None:
        """The `account_hash` of what a person has typed."""
        return self._account(identifiers.normalize(identifier, self._identifier_kind)) if identifier else None

    def identifier_kind(self, call: str) -> str:
        """What the form of `forgot` or `resend_verification` asks for: a value of `LOGIN_IDENTIFIER`."""
        return "email" if "email" in self._calls.asks_for(call) else self._identifier_kind

    def register(
        self, identifier: str, values: Mapping[str, Any], further: Mapping[str, object], context: RequestContext
    ) -> FormOutcome:
        """Create an account, and sign its owner in if the backend allows that at once. Raises a `SiteError`.

        values: of the placeholders of the call, among them `password`. further: of the fields in `REGISTER_FIELDS`.
        """
        identifier = identifiers.normalize(identifier, self._sign_up_kind)
        values = {**values, "identifier": identifier}
        with self._failures_audited("register", identifier, context):
            self._limiter.hit_mail(identifier, context)
            try:
                login = self._calls.register(values, further, context)
            except errors.EmailNotVerified:
                return self._registered(identifier, FormOutcome.VERIFY, context)
            except errors.SecondFactorRequired:
                return self._registered(identifier, FormOutcome.SIGN_IN, context)
        return self._registered(identifier, self._enter(login, identifier, values["password"], context), context)

    def send_mail(self, call: str, identifier: str, context: RequestContext) -> None:
        """Ask the backend to send a mail: `forgot` or `resend_verification`. Equal for known and unknown accounts.

        Raises `TooManyAttempts`, or `BackendUnavailable` if no connection to the backend can be made.
        """
        identifier = identifiers.normalize(identifier, self.identifier_kind(call))
        with self._failures_audited(call, identifier, context):
            self._limiter.hit_mail(identifier, context)
            started_at = self._clock.monotonic()
            self._calls.send_mail(call, identifier, context)
            if (seconds := started_at + MIN_ANSWER_SECONDS - self._clock.monotonic()) > 0:
                wait_for(self._clock.sleep(seconds))
        self._audit.record("mail_requested", context, account=self._account(identifier), form=call)

    def reset_password(self, values: Mapping[str, Any], identifier: str | None, context: RequestContext) -> FormOutcome:
        """Set a new password with the code of a mail. Raises a `SiteError`; `InvalidCode` if the code is not accepted.

        values: `code`, `uid` and `new_password`. identifier: set only if the backend requires it with the code.

        If the answer contains the user, all other sessions of the user end. If it also contains a token, the user is
        signed in.
        """
        if identifier:
            identifier = identifiers.normalize(identifier, self._identifier_kind)
            values = {**values, "identifier": identifier}
        with self._failures_audited("reset", identifier, context):
            self._limiter.hit_code(identifier, context)
            login, user = self._calls.reset(values, context)
        self._audit.record("password_reset", context, account=self._account(identifier))
        if login:
            with suppress(errors.SiteError):  # the password is set: the person can sign in
                account = identifier or (user.email if user else "") or ""
                self._sign_in.with_tokens(login, account, context, SignInOptions(end_others=True))
                return FormOutcome.SIGNED_IN
        if user is None:
            return FormOutcome.SIGN_IN
        self._sessions.end_all_of(user)
        return FormOutcome.SIGN_IN_AGAIN

    def verify_email(self, values: Mapping[str, Any], identifier: str | None, context: RequestContext) -> None:
        """Verify an address with the code of a mail. Raises a `SiteError`; `InvalidCode` if the code is not accepted.

        This does not sign in: a stranger could send the link of their own account to somebody else.
        """
        if identifier:
            identifier = identifiers.normalize(identifier, self._identifier_kind)
            values = {**values, "identifier": identifier}
        with self._failures_audited("verify_email", identifier, context):
            self._limiter.hit_code(identifier, context)
            self._calls.verify_email(values, context)
        self._audit.record("email_verified", context, account=self._account(identifier))
        if self._sessions.load():
            with suppress(errors.SiteError):
                self._profile.refresh(context)

    def change_password(self, current: str, new: str, identifier: str | None, context: RequestContext) -> FormOutcome:
        """Change the password of the signed-in person. This session continues; all other sessions of the person end.

        identifier: what the person signs in with, if it is not the email address of the session.
        Raises `WrongPassword` and other errors; nothing has changed then. Returns `SIGN_IN` if the password has changed
        and the backend has ended this session too.
        """
        session = self._sessions.load()
        if session is None:
            raise errors.SessionRequired("a new password was submitted without a session")
        text = identifier or session.identifier or session.user.email or ""
        identifier = identifiers.normalize(text, self._identifier_kind)
        account = identifier or str(session.user.id)
        with self._failures_audited("change_password", account, context):
            reset_limit = self._limiter.hit_sign_in(account, context)
            if not self._calls.checks_current_password:
                self._check_password(session, identifier, current, context)
            values = {
                "user_id": session.user.id,
                "identifier": identifier,
                "password": current,
                "new_password": new,
            }
            try:
                login = self._sessions.call_backend(
                    session, lambda token: self._calls.change_password({"token": token, **values}, context)
                )
            except errors.SessionExpired:
                self._sessions.end()
                raise
            reset_limit()
        self._audit.record("password_changed", context, account=self._account(account), sid=session.sid)
        return self._continue_session(self._sessions.load() or session, login, identifier, new, context)

    @property
    def _sign_up_kind(self) -> str:
        return "email" if self._identifier_kind == "any" else self._identifier_kind

    def _enter(self, login: Login | None, identifier: str, password: str, context: RequestContext) -> FormOutcome:
        """Sign in after the sign-up: with the token, or with the password if the backend returned no token."""
        try:
            if login:
                self._sign_in.with_tokens(login, identifier, context)
            else:
                self._sign_in.with_password(identifier, password, context)
        except (errors.CredentialsSignin, errors.EmailNotVerified):
            return FormOutcome.VERIFY
        except errors.SiteError:
            return FormOutcome.SIGN_IN
        return FormOutcome.SIGNED_IN

    def _registered(self, identifier: str, outcome: FormOutcome, context: RequestContext) -> FormOutcome:
        self._audit.record("registered", context, account=self._account(identifier), outcome=outcome.value)
        return outcome

    def _check_password(self, session: Session, identifier: str, password: str, context: RequestContext) -> None:
        """Raise `WrongPassword` unless a sign-in with this password is one of the session's user."""
        try:
            login = self._backend.login(identifier, password, context)
        except (errors.EmailNotVerified, errors.SecondFactorRequired):
            # The password is right, and no user was returned: it may be of another account that the person has.
            if identifier not in self._identifiers_of(session):
                raise errors.WrongPassword("the account of the current password is not known to be this one") from None
            return
        except (errors.CredentialsSignin, errors.InvalidFields):
            raise errors.WrongPassword("the current password does not sign in") from None
        try:
            is_own = self._backend.user_of(login, context).is_same_person(session.user)
        finally:
            if login.tokens.access != session.access_token:
                self._backend.logout(login.tokens, context)
        if not is_own:
            raise errors.WrongPassword("the current password is of another account")

    def _identifiers_of(self, session: Session) -> set[str]:
        """The identifiers that the session's user is known by."""
        texts = (session.identifier, session.user.email)
        return {identifiers.normalize(text, self._identifier_kind) for text in texts if text}

    def _continue_session(
        self, session: Session, login: Login | None, identifier: str, password: str, context: RequestContext
    ) -> FormOutcome:
        """Start a new session in this browser and end all others. Some backends revoke the old token."""
        try:
            if login is None and self._ends_refresh_token:
                login = self._backend.login(identifier, password, context)
            tokens = login.tokens if login else self._sessions.tokens(session)
            user = session.user
            if self._backend.can_reread_user:
                try:
                    user = self._backend.user(tokens.access, context)
                except errors.SessionExpired:
                    tokens = self._backend.login(identifier, password, context).tokens
                    user = self._backend.user(tokens.access, context)
            if not user.is_same_person(session.user):
                raise errors.SessionExpired("the backend returned another user")
            self._sessions.start(
                user,
                tokens,
                session.provider or "email",
                identifier=session.identifier,
                end_others=True,
                remember=not session.is_short,
            )
        except errors.SiteError as error:
            log.info("the session ends with the old password: %s", error)
            self._sessions.end(everywhere=True)
            return FormOutcome.SIGN_IN
        return FormOutcome.SIGNED_IN

    @contextmanager
    def _failures_audited(self, call: str, identifier: str | None, context: RequestContext) -> Iterator[None]:
        try:
            yield
        except errors.SiteError as error:
            level = logging.ERROR if isinstance(error, errors.ServerSideError) else logging.INFO
            fields = {"form": call, "account": self._account(identifier)}
            fields |= {"outcome": error.code, "reason": error.reason}
            self._audit.record("account_form_failed", context, level, **fields)
            raise

    def _account(self, identifier: str | None) -> str | None:
        return account_hash(identifier, self._secret_key)
