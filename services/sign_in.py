"""Signing in and out. This is the policy; how each step works is elsewhere."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any, NoReturn

import errors
from backends.base import Method
from config import Settings
from providers.base import Identity, Registration
from services import identifiers, passkeys
from services.backend.client import BackendClient, Revocation, StepRequired
from services.backend.next_step import DEFAULT_RESEND_SECONDS, Step
from services.backend.results import Login
from services.backend.tokens import Tokens
from services.backend.user import User
from services.clock import Clock
from services.limits.login_limiter import LoginLimiter
from services.oauth.provider_logout import ProviderLogout
from services.observability.audit import AuditLog, account_hash
from services.passkeys import Passkeys, Purpose
from services.pending_sign_ins import MAX_AGE_SECONDS, PendingSignIn, PendingSignIns
from services.request_context import RequestContext
from services.sessions.issuer_session import IssuerSession
from services.sessions.manager import Sessions
from services.sessions.model import Session
from services.single_flight import SingleFlight
from services.trusted_browser import TrustedBrowser

log = logging.getLogger("munjigi.sign_in")

_MAX_REVOKED_TOKENS = 3
"""Further sessions that a browser may have: of cookies with another `Domain` or `Path`, set by an earlier setup."""


_SENT = (Method.EMAIL, Method.SMS, Method.SENT, Method.TEXT)
"""Methods with a code that the backend sends."""
_IDENTIFIERS = ("email", "phone", "username")
"""Fields of a new account that are normalized like what people sign in with."""
_EXTRA_SECONDS = 5
"""How much longer than the backend timeout a second click on the same button waits."""


class SignOut(Enum):
    """What a sign-out has done."""

    DONE = "done"
    FAILED_AT_BACKEND = "failed at the backend"
    """The session ended, but revoking the backend's tokens failed."""
    NO_SESSION = "no session"
    """Nobody was signed in, so no other session could end either."""


@dataclass(frozen=True)
class SignedOut:
    outcome: SignOut
    provider: Registration | None = None
    """At which the sign-out has to go on."""
    provider_url: str | None = None
    """Where the browser has to go for that; None if the provider cannot be asked."""


class SignIn:
    def __init__(
        self,
        settings: Settings,
        *,
        backend: BackendClient,
        sessions: Sessions,
        pending: PendingSignIns,
        trusted: TrustedBrowser,
        passkeys: Passkeys,
        limiter: LoginLimiter,
        provider_logout: ProviderLogout,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._secret_key = settings.secret_key
        self._identifier_kind = settings.login_identifier
        self._backend = backend
        self._sessions = sessions
        self._limiter = limiter
        self._provider_logout = provider_logout
        self._audit = audit
        self._pending = pending
        self._trusted = trusted
        self._passkeys = passkeys
        self._clock = clock
        self._timeout = settings.backend_timeout + _EXTRA_SECONDS
        self._running: SingleFlight[Session] = SingleFlight(clock)

    def with_password(
        self,
        identifier: str,
        password: str,
        context: RequestContext,
        *,
        user_id: str | None = None,
        end_others: bool = False,
        remember: bool = False,
    ) -> User:
        """Sign in by identifier and password. Raises a `SiteError`, and then nobody is signed in.

        It is `NextStepRequired` if the backend wants a second factor: `with_code` continues.

        identifier: an email address, user name or telephone number, as `LOGIN_IDENTIFIER` says.
        user_id: the only user who may sign in, because this confirms their session; `AccountMismatch` for another.
        end_others: end all other sessions of this user.
        remember: the person has asked to stay signed in.
        """
        identifier = identifiers.normalize(identifier, self._identifier_kind)
        with self._audited("email", identifier, context):
            reset_limit = self._limiter.hit(identifier, context)
            try:
                trust_token = self._trusted.token(identifier, context)
                login = self._backend.login(identifier, password, context, trust_token)
            except StepRequired as required:
                again = password if self._backend.wants_password_again else None
                person = {"identifier": identifier, "password": again, "user_id": user_id, "end_others": end_others}
                person |= {"provider": "email", "account": identifier, "remember": remember}
                self._wait_for_step(required.step, context, **person)
            session = self._start_session(
                login,
                "email",
                context,
                identifier=identifier,
                user_id=user_id,
                end_others=end_others,
                remember=remember,
            )
            self._trusted.remember(identifier, login.trust_token, context)
            reset_limit()
            return session.user

    def with_tokens(
        self, login: Login, identifier: str, context: RequestContext, *, end_others: bool = False
    ) -> Session:
        """Sign in a person to whom the backend has given tokens for another form. Raises as above.

        end_others: end all other sessions of this user.
        """
        with self._audited("email", identifier, context):
            return self._start_session(login, "email", context, identifier=identifier or None, end_others=end_others)

    def with_identity(
        self,
        registration: Registration,
        identity: Identity,
        context: RequestContext,
        *,
        user_id: str | None = None,
        issuer_session: IssuerSession | None = None,
        remember: bool = False,
    ) -> Session:
        """Sign in a person whose identity a provider has proven. Raises as above.

        issuer_session: the session at the provider, by which the provider may end this one.
        """
        account = f"{registration.id}:{identity.subject}"
        with self._audited(registration.id, account, context):
            with_email = registration.provider.backend_token == "id_token"
            try:
                login = self._backend.social_login(registration.backend_name, identity, with_email, context)
            except StepRequired as required:
                claim = issuer_session and issuer_session.to_claim()
                person = {"user_id": user_id, "issuer_session": claim, "remember": remember}
                person |= {"provider": registration.id, "account": account}
                person["id_token"] = issuer_session.id_token if issuer_session else None
                if required.step.fields:
                    if user_id is not None:
                        raise errors.AccountMismatch("a session was confirmed with an account that is new") from None
                    person |= self._sign_up_values(identity, required.step)
                self._wait_for_step(required.step, context, **person)
            return self._start_session(
                login,
                registration.id,
                context,
                cross_site=registration.provider.form_post,
                user_id=user_id,
                issuer_session=issuer_session,
                remember=remember,
            )

    def with_passkey(
        self,
        credential: str,
        context: RequestContext,
        *,
        user_id: str | None = None,
        end_others: bool = False,
        remember: bool = False,
    ) -> Session:
        """Sign in by a browser's answer to the options of `Passkeys.options`, as JSON. Raises as above."""
        answer = passkeys.parse(credential)
        account = f"{passkeys.PROVIDER}:{answer.id if answer else ''}"
        with self._audited(passkeys.PROVIDER, account, context):
            self._limiter.hit_ip(context)
            if answer is None:
                raise errors.PasskeyRejected("the answer of the browser is not one")
            handle = self._passkeys.take(Purpose.SIGN_IN, answer, context)
            try:
                login = self._backend.passkey_login(answer.credential, handle, context)
            except StepRequired as required:
                person = {"end_others": end_others, "remember": remember}
                self._wait_for_step(
                    required.step, context, provider=passkeys.PROVIDER, account=account, user_id=user_id, **person
                )
            return self._start_session(
                login, passkeys.PROVIDER, context, user_id=user_id, end_others=end_others, remember=remember
            )

    def with_code(self, pending: PendingSignIn, code: str, context: RequestContext, *, trust: bool = False) -> Session:
        """Continue a pending sign-in: with a code, or without one after a page of the backend's. Raises as above.

        trust: whether the backend may skip this step in this browser the next time.
        """
        with self._audited(pending.provider, pending.account, context):
            try:
                reset_limit = self._limiter.hit_step_code(pending.account, pending.id, context)
            except errors.TooManyCodes:
                self._pending.end(pending, context)
                raise
            key = (pending.id, code, pending.method)
            session, is_first = self._run_once(key, lambda: self._verify(pending, code, context, trust=trust))
            if not is_first:  # a second click: its response needs the cookies too
                self._sessions.start(session.user, self._sessions.tokens(session), pending.provider, reuse=session)
            self._pending.end(pending, context)
            reset_limit()
            if pending.identifier:
                self._limiter.reset(pending.identifier, context)
            return session

    def with_fields(
        self,
        pending: PendingSignIn,
        registration: Registration,
        values: Mapping[str, str],
        further: Mapping[str, object],
        context: RequestContext,
    ) -> Session:
        """Continue a pending sign-in with the fields of a new account. Raises as above, and `InvalidFields`.

        values: for the placeholders of the backend's call. further: those of `REGISTER_FIELDS`.
        """
        values = {
            name: identifiers.normalize(text, name) if name in _IDENTIFIERS else text for name, text in values.items()
        }
        with self._audited(pending.provider, pending.account, context):
            typed = [values[name] for name in _IDENTIFIERS if name in values]
            self._limiter.hit_sign_up(next(iter(typed), None), pending.id, context)
            key = (pending.id, repr(sorted(values.items())), repr(sorted(further.items())))
            session, is_first = self._run_once(
                key, lambda: self._sign_up(pending, registration, values, further, context)
            )
            if not is_first:
                self._sessions.start(session.user, self._sessions.tokens(session), pending.provider, reuse=session)
            self._pending.end(pending, context)
        return session

    def send_code(self, pending: PendingSignIn, method: str, context: RequestContext) -> PendingSignIn:
        """Let the backend send a code for this method. Raises `TooManyAttempts` if it was asked for too early."""
        now = int(self._clock.time())
        wait = pending.resend_at - now
        if wait > 0:
            raise errors.CodeSentRecently(retry_after=wait)
        interval = pending.step.resend_after or DEFAULT_RESEND_SECONDS
        self._limiter.hit_resend(pending.account, pending.id, interval, context)
        sent = self._resend(pending, method, context)
        self._pending.save(sent, context)
        return sent

    def use_method(self, pending: PendingSignIn, method: str, context: RequestContext) -> PendingSignIn:
        """Go on with another method. Its code is sent, unless it was the last one that was."""
        needs_sending = pending.step.methods[method] in _SENT or self._backend.sends_first(pending.step, method)
        if self._backend.can_resend and needs_sending and method != pending.sent_method:
            return self.send_code(pending, method, context)
        changed = replace(pending, method=method)
        self._pending.save(changed, context)
        return changed

    def cancel(self, pending: PendingSignIn, context: RequestContext) -> None:
        """End a pending sign-in."""
        self._pending.end(pending, context)
        account = account_hash(pending.account, self._secret_key)
        self._audit.record("sign_in_cancelled", context, provider=pending.provider, account=account)

    def record_failure(self, registration: Registration, error: errors.SiteError, context: RequestContext) -> None:
        """Log a social sign-in that failed before an identity was proven."""
        self._record_failure(error, context, provider=registration.id)

    def repeat(self, registration: Registration, session: Session, context: RequestContext) -> None:
        """Sign in by a second callback of the same attempt: its response needs the session's cookies too.

        Raises `AttemptExpired` if the session was signed out meanwhile: it must not come back.
        """
        try:
            user = session.user
            if self._backend.can_reread_user:
                user = self._sessions.call_backend(session, lambda token: self._backend.user(token, context))
        except errors.SessionExpired:
            raise errors.AttemptExpired("the token was revoked meanwhile") from None
        if self._sessions.is_revoked(session):
            raise errors.AttemptExpired("it was signed out meanwhile")
        cross_site = registration.provider.form_post
        tokens = self._sessions.tokens(session)
        self._sessions.start(user, tokens, registration.id, cross_site=cross_site, reuse=session)

    def sign_out(self, context: RequestContext, *, everywhere: bool = False, return_to: str | None = None) -> SignedOut:
        """Sign out here, whatever the backend answers. The sign-out may have to go on at the provider.

        return_to: where the person goes from there.
        """
        sessions = self._sessions.end(everywhere=everywhere)
        if not sessions:
            return SignedOut(SignOut.NO_SESSION)
        session, (first, *others) = sessions[0], self._tokens_of(sessions)
        revocation = self._backend.logout(first, context)
        self._revoke(others, context)
        provider, url = self._provider_logout.registration(session), None
        if provider:
            id_token = self._sessions.id_token(session)
            url = self._provider_logout.start(
                provider, session, context, id_token=id_token, return_to=return_to, everywhere=everywhere
            )
        self._audit.record(
            "signed_out",
            context,
            provider=session.provider,
            sid=session.sid,
            revoked=revocation is Revocation.REVOKED,
            everywhere=everywhere,
            at_provider=bool(url) if provider else None,
        )
        outcome = SignOut.FAILED_AT_BACKEND if revocation is Revocation.FAILED else SignOut.DONE
        return SignedOut(outcome, provider, url)

    def _start_session(
        self,
        login: Login,
        provider: str,
        context: RequestContext,
        *,
        identifier: str | None = None,
        cross_site: bool = False,
        user_id: str | None = None,
        issuer_session: IssuerSession | None = None,
        end_others: bool = False,
        remember: bool = False,
    ) -> Session:
        """Look the user up and start a session: nobody is signed in unless token and user are both valid.

        A token that cannot be used is revoked: it would open the account for as long as it lives.
        """
        try:
            user = self._backend.user_of(login, context)
            if user_id not in (None, str(user.id)):
                raise errors.AccountMismatch("a session was confirmed with another account")
            session, replaced = self._sessions.start(
                user,
                login.tokens,
                provider,
                identifier=identifier,
                cross_site=cross_site,
                issuer_session=issuer_session,
                end_others=end_others,
                remember=remember,
            )
        except errors.SiteError as error:
            revocation = self._backend.logout(login.tokens, context)
            log.error(
                "issued token not used, session could not be started: %s; token revoked: %s",
                error,
                revocation is Revocation.REVOKED,
            )
            if isinstance(error, errors.SessionExpired):
                raise errors.BackendUnavailable("the backend refused the token that was just issued") from None
            raise
        old_tokens = self._tokens_of(replaced)
        self._revoke([tokens for tokens in old_tokens if not _share_token(tokens, login.tokens)], context)
        return session

    def _wait_for_step(self, step: Step, context: RequestContext, **person: Any) -> NoReturn:
        """Raise `NextStepRequired` with a new pending sign-in. person: further fields of `PendingSignIn`."""
        now = int(self._clock.time())
        pending = PendingSignIn(
            step=step,
            method=(method := next(iter(step.methods), "")),
            sent_method=method,
            resend_at=now + (step.resend_after or DEFAULT_RESEND_SECONDS),
            expires_at=now + MAX_AGE_SECONDS,
            visitor=context.visitor,
            **person,
        )
        if self._backend.sends_first(step, pending.method):
            pending = self._resend(pending, pending.method, context)
        required = errors.NextStepRequired(
            f"{pending.kind}: {', '.join(step.methods or step.fields) or 'another page'}"
        )
        required.kind = pending.kind
        try:
            required.sealed = self._pending.seal(pending)
        except errors.SessionTooLarge:  # what the form has in it at first can be typed
            required.sealed = self._pending.seal(replace(pending, prefill={}))
        raise required

    def _sign_up_values(self, identity: Identity, step: Step) -> dict[str, Any]:
        """What a sign-in that waits for the fields of a new account has of the provider."""
        email = identity.email if identity.email_verified else None
        proven = {"name": identity.name, "nick_name": identity.nickname, "email": email}
        return {
            "prefill": {name: text for name, text in proven.items() if text and name in step.fields},
            "social_token": identity.social_token if self._backend.wants_social_token_again else None,
        }

    def _run_once(self, key: tuple[str, ...], call: Callable[[], Session]) -> tuple[Session, bool]:
        """The session of a form, and whether it is the first of several that were sent at the same time."""
        try:
            return self._running.run(key, call, self._timeout)
        except TimeoutError:
            raise errors.BackendUnavailable("the same form is still being processed", status=504) from None

    def _sign_up(
        self,
        pending: PendingSignIn,
        registration: Registration,
        values: Mapping[str, str],
        further: Mapping[str, object],
        context: RequestContext,
    ) -> Session:
        token = {"social_token": pending.social_token} if pending.social_token else {}
        sent = {**values, **token, "provider": registration.backend_name}
        try:
            login = self._backend.social_register(pending.step, sent, further, context)
        except StepRequired as required:
            self._pending.end(pending, context)
            typed = {name: text for name, text in {**pending.prefill, **values}.items() if name in required.step.fields}
            self._wait_for_step(required.step, context, **{**pending.person, "prefill": typed})
        except (errors.InvalidFields, errors.TooManyAttempts, errors.ServerSideError):
            raise
        except errors.SiteError:
            self._pending.end(pending, context)
            raise
        account = account_hash(pending.account, self._secret_key)
        self._audit.record("registered", context, provider=pending.provider, account=account, outcome="signed in")
        try:
            return self._start_session(
                login,
                pending.provider,
                context,
                remember=pending.remember,
                issuer_session=IssuerSession.from_claim(pending.issuer_session, pending.id_token),
            )
        except errors.SiteError:
            self._pending.end(pending, context)  # the account exists
            raise

    def _verify(self, pending: PendingSignIn, code: str, context: RequestContext, *, trust: bool) -> Session:
        try:
            login = self._backend.verify(
                pending.step, pending.method, code, context, trust=trust, values=_credentials(pending)
            )
        except StepRequired as required:
            if _is_same(required.step, pending.step):
                wrong = errors.StepNotDone if pending.kind == "redirect" else errors.WrongCode
                raise wrong("the backend wants the same step again") from None
            self._pending.end(pending, context)
            self._wait_for_step(required.step, context, **pending.person)
        except errors.AttemptExpired:
            self._pending.end(pending, context)
            raise
        except errors.WrongCode as error:
            if pending.kind == "redirect":
                raise errors.StepNotDone(error.reason) from None
            raise
        try:
            session = self._start_session(
                login,
                pending.provider,
                context,
                identifier=pending.identifier,
                user_id=pending.user_id,
                end_others=pending.end_others,
                remember=pending.remember,
                issuer_session=IssuerSession.from_claim(pending.issuer_session, pending.id_token),
            )
        except errors.SiteError:
            self._pending.end(pending, context)  # the code is used up
            raise
        if trust and pending.identifier:
            self._trusted.remember(pending.identifier, login.trust_token, context)
        return session

    def _resend(self, pending: PendingSignIn, method: str, context: RequestContext) -> PendingSignIn:
        step = self._backend.resend(pending.step, method, context, _credentials(pending))
        interval = step.resend_after or DEFAULT_RESEND_SECONDS
        return replace(
            pending, step=step, method=method, sent_method=method, resend_at=int(self._clock.time()) + interval
        )

    def _tokens_of(self, sessions: Iterable[Session]) -> list[Tokens]:
        """The tokens of sessions that have ended: of some backends, all sessions of a user have one token."""
        by_access_token: dict[str, Session] = {}
        for session in sessions:
            by_access_token.setdefault(session.access_token, session)
        return [self._sessions.tokens(session) for session in by_access_token.values()]

    def _revoke(self, old_tokens: Iterable[Tokens], context: RequestContext) -> None:
        for tokens in islice(old_tokens, _MAX_REVOKED_TOKENS):
            self._backend.logout(tokens, context)

    @contextmanager
    def _audited(self, provider: str, identifier: str, context: RequestContext) -> Iterator[None]:
        account = account_hash(identifier, self._secret_key)
        try:
            yield
        except errors.NextStepRequired as error:
            self._audit.record("sign_in_pending", context, provider=provider, account=account, reason=error.reason)
            raise
        except errors.SiteError as error:
            self._record_failure(error, context, provider=provider, account=account)
            raise
        self._audit.record("signed_in", context, provider=provider, account=account)

    def _record_failure(
        self, error: errors.SiteError, context: RequestContext, *, provider: str, account: str | None = None
    ) -> None:
        level = logging.ERROR if isinstance(error, errors.ServerSideError) else logging.INFO
        fields = {"provider": provider, "account": account, "outcome": error.code, "reason": error.reason}
        self._audit.record("sign_in_failed", context, level, **fields)


def _credentials(pending: PendingSignIn) -> dict[str, str]:
    """What the calls of a next step can send again."""
    credentials = {"identifier": pending.identifier, "password": pending.password}
    return {name: value for name, value in credentials.items() if value is not None}


def _is_same(one: Step, other: Step) -> bool:
    return (one.challenge, one.methods, one.url) == (other.challenge, other.methods, other.url)


def _share_token(old: Tokens, new: Tokens) -> bool:
    """Whether revoking the old tokens would end the new ones: some backends issue a token again."""
    return old.access == new.access or (old.refresh is not None and old.refresh == new.refresh)
