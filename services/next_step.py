"""The next step of a sign-in that waits for one: a code, another page, or the fields of a new account."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import errors
from backends.base import Method
from config import Settings
from providers.base import Registration
from services import identifiers
from services.backend.client import BackendClient, StepRequired
from services.backend.next_step import DEFAULT_RESEND_SECONDS, Step
from services.backend.results import Login
from services.clock import Clock
from services.limits.rate_limiter import RateLimiter
from services.observability.audit import AuditLog, account_hash
from services.pending_sign_ins import PendingSignIn, PendingSignIns
from services.request_context import RequestContext
from services.sessions.issuer_session import IssuerSession
from services.sessions.manager import Sessions
from services.sessions.model import Session
from services.sign_in import SignIn
from services.single_flight import SingleFlight
from services.trusted_browser import TrustedBrowser

_SENT = (Method.EMAIL, Method.SMS, Method.SENT, Method.TEXT)
"""Methods with a code that the backend sends."""
_IDENTIFIERS = ("email", "phone", "username")
"""Fields of a new account that are normalized like what people sign in with."""
_EXTRA_SECONDS = 5
"""How much longer than the backend timeout a repeated submission of the same form waits."""


class NextStep:
    """Continues pending sign-ins. Methods that sign in raise a `SiteError` if the person is not signed in."""

    def __init__(
        self,
        settings: Settings,
        *,
        sign_in: SignIn,
        backend: BackendClient,
        sessions: Sessions,
        pending: PendingSignIns,
        trusted: TrustedBrowser,
        limiter: RateLimiter,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._secret_key = settings.secret_key
        self._sign_in = sign_in
        self._backend = backend
        self._sessions = sessions
        self._pending = pending
        self._trusted = trusted
        self._limiter = limiter
        self._audit = audit
        self._clock = clock
        self._timeout = settings.backend_timeout + _EXTRA_SECONDS
        self._running: SingleFlight[Session] = SingleFlight(clock)

    def submit_code(
        self, pending: PendingSignIn, code: str, context: RequestContext, *, trust: bool = False
    ) -> Session:
        """Sign in with a code, or without one after the person returns from another page.

        trust: whether the backend may skip this step in this browser the next time.
        """
        with self._sign_in.audited(pending.provider, pending.account, context):
            try:
                reset_limit = self._limiter.hit_step_code(pending.account, pending.id, context)
            except errors.TooManyCodes:
                self._pending.end(pending, context)
                raise
            key = (pending.id, code, pending.method)
            session = self._run_once(key, pending, lambda: self._verify(pending, code, context, trust=trust))
            self._pending.end(pending, context)
            reset_limit()
            if pending.identifier:
                self._limiter.reset(pending.identifier, context)
            return session

    def submit_fields(
        self,
        pending: PendingSignIn,
        registration: Registration,
        values: Mapping[str, str],
        further: Mapping[str, object],
        context: RequestContext,
    ) -> Session:
        """Sign in with the fields of a new account. Raises `InvalidFields` if the backend does not accept them.

        values: of the placeholders of the backend's call. further: of the fields in `REGISTER_FIELDS`.
        """
        values = {
            name: identifiers.normalize(text, name) if name in _IDENTIFIERS else text for name, text in values.items()
        }
        with self._sign_in.audited(pending.provider, pending.account, context):
            typed = [values[name] for name in _IDENTIFIERS if name in values]
            self._limiter.hit_sign_up(next(iter(typed), None), pending.id, context)
            key = (pending.id, repr(sorted(values.items())), repr(sorted(further.items())))
            session = self._run_once(
                key, pending, lambda: self._sign_up(pending, registration, values, further, context)
            )
            self._pending.end(pending, context)
        return session

    def send_code(self, pending: PendingSignIn, method: str, context: RequestContext) -> PendingSignIn:
        """Let the backend send a code for this method. Raises `TooManyAttempts` before the person may request one."""
        now = int(self._clock.time())
        wait = pending.resend_at - now
        if wait > 0:
            raise errors.CodeSentRecently(retry_after=wait)
        interval = pending.step.resend_after or DEFAULT_RESEND_SECONDS
        self._limiter.hit_resend(pending.account, pending.id, interval, context)
        new_pending = self._sign_in.send_code(pending, method, context)
        self._pending.save(new_pending, context)
        return new_pending

    def use_method(self, pending: PendingSignIn, method: str, context: RequestContext) -> PendingSignIn:
        """Switch to another method. Its code is sent, unless the last code was sent for this method."""
        needs_sending = pending.step.methods[method] in _SENT or self._backend.sends_first(pending.step, method)
        if self._backend.can_resend and needs_sending and method != pending.sent_method:
            return self.send_code(pending, method, context)
        new_pending = replace(pending, method=method)
        self._pending.save(new_pending, context)
        return new_pending

    def cancel(self, pending: PendingSignIn, context: RequestContext) -> None:
        """End a pending sign-in."""
        self._pending.end(pending, context)
        account = account_hash(pending.account, self._secret_key)
        self._audit.record("sign_in_cancelled", context, provider=pending.provider, account=account)

    def _verify(self, pending: PendingSignIn, code: str, context: RequestContext, *, trust: bool) -> Session:
        try:
            login = self._backend.verify(
                pending.step, pending.method, code, context, trust=trust, values=pending.credentials
            )
        except StepRequired as required:
            if _is_same(required.step, pending.step):
                wrong = errors.StepNotDone if pending.kind == "redirect" else errors.WrongCode
                raise wrong("the backend wants the same step again") from None
            self._pending.end(pending, context)
            self._sign_in.wait_for_step(required.step, context, **pending.person)
        except errors.AttemptExpired:
            self._pending.end(pending, context)
            raise
        except errors.WrongCode as error:
            if pending.kind == "redirect":
                raise errors.StepNotDone(error.reason) from None
            raise
        session = self._start_session(login, pending, context)
        if trust and pending.identifier:
            self._trusted.remember(pending.identifier, login.trust_token, context)
        return session

    def _sign_up(
        self,
        pending: PendingSignIn,
        registration: Registration,
        values: Mapping[str, str],
        further: Mapping[str, object],
        context: RequestContext,
    ) -> Session:
        token = {"social_token": pending.social_token} if pending.social_token else {}
        call_values = {**values, **token, "provider": registration.backend_name}
        try:
            login = self._backend.social_register(pending.step, call_values, further, context)
        except StepRequired as error:
            self._pending.end(pending, context)
            prefill = {name: text for name, text in {**pending.prefill, **values}.items() if name in error.step.fields}
            self._sign_in.wait_for_step(error.step, context, **{**pending.person, "prefill": prefill})
        except (errors.InvalidFields, errors.TooManyAttempts, errors.ServerSideError):
            raise
        except errors.SiteError:
            self._pending.end(pending, context)
            raise
        account = account_hash(pending.account, self._secret_key)
        self._audit.record("registered", context, provider=pending.provider, account=account, outcome="signed in")
        return self._start_session(login, pending, context)

    def _start_session(self, login: Login, pending: PendingSignIn, context: RequestContext) -> Session:
        """Start the session. If that fails, the pending sign-in ends: its code is used up, or the account exists."""
        try:
            return self._sign_in.start_session(
                login,
                pending.provider,
                context,
                pending.options,
                identifier=pending.identifier,
                issuer_session=IssuerSession.from_claim(pending.issuer_session, pending.id_token),
            )
        except errors.SiteError:
            self._pending.end(pending, context)
            raise

    def _run_once(self, key: tuple[str, ...], pending: PendingSignIn, call: Callable[[], Session]) -> Session:
        """Return the session of a form. The call is made once if the form is submitted several times at once."""
        try:
            session, is_first = self._running.run(key, call, self._timeout)
        except TimeoutError:
            raise errors.BackendUnavailable("the same form is still being processed", status=504) from None
        if not is_first:  # a second click: its response needs the cookies too
            self._sessions.start(session.user, self._sessions.tokens(session), pending.provider, reuse=session)
        return session


def _is_same(one: Step, other: Step) -> bool:
    return (one.challenge, one.methods, one.url) == (other.challenge, other.methods, other.url)
