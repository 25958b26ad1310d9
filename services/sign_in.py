"""Signing in, by each of the ways to do so. This is the policy; how each step works is elsewhere.

`next_step.py` continues a sign-in that the backend lets wait, and `sign_out.py` ends a session.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import errors
from config import Settings
from providers.base import Identity, Registration
from services import identifiers, passkeys
from services.backend.client import BackendClient, Revocation, StepRequired
from services.backend.next_step import DEFAULT_RESEND_SECONDS, Step
from services.backend.results import Login
from services.backend.user import User
from services.clock import Clock
from services.limits.rate_limiter import RateLimiter
from services.observability.audit import AuditLog, account_hash
from services.passkeys import Passkeys, Purpose
from services.pending_sign_ins import MAX_AGE_SECONDS, PendingSignIn, PendingSignIns
from services.request_context import RequestContext
from services.sessions.issuer_session import IssuerSession
from services.sessions.manager import Sessions
from services.sessions.model import Session
from services.sign_in_options import NO_OPTIONS, SignInOptions
from services.sign_out import SignOut
from services.trusted_browser import TrustedBrowser

log = logging.getLogger("munjigi.sign_in")


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
        limiter: RateLimiter,
        sign_out: SignOut,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._secret_key = settings.secret_key
        self._identifier_kind = settings.login_identifier
        self._backend = backend
        self._sessions = sessions
        self._limiter = limiter
        self._sign_out = sign_out
        self._audit = audit
        self._pending = pending
        self._trusted = trusted
        self._passkeys = passkeys
        self._clock = clock

    def with_password(
        self,
        identifier: str,
        password: str,
        context: RequestContext,
        options: SignInOptions = NO_OPTIONS,
    ) -> User:
        """Sign in by identifier and password. Raises a `SiteError`, and then nobody is signed in.

        It is `NextStepRequired` if the backend wants a second factor: `NextStep` continues.

        identifier: an email address, user name or telephone number, as `LOGIN_IDENTIFIER` says.
        """
        identifier = identifiers.normalize(identifier, self._identifier_kind)
        with self.audited("email", identifier, context):
            reset_limit = self._limiter.hit_sign_in(identifier, context)
            try:
                trust_token = self._trusted.token(identifier, context)
                login = self._backend.login(identifier, password, context, trust_token)
            except StepRequired as required:
                self.wait_for_step(
                    required.step,
                    context,
                    provider="email",
                    account=identifier,
                    identifier=identifier,
                    password=password if self._backend.wants_password_again else None,
                    options=options,
                )
            session = self.start_session(login, "email", context, options, identifier=identifier)
            self._trusted.remember(identifier, login.trust_token, context)
            reset_limit()
            return session.user

    def with_tokens(
        self, login: Login, identifier: str, context: RequestContext, options: SignInOptions = NO_OPTIONS
    ) -> Session:
        """Sign in a person to whom the backend has given tokens for another form. Raises as above."""
        with self.audited("email", identifier, context):
            return self.start_session(login, "email", context, options, identifier=identifier or None)

    def with_identity(
        self,
        registration: Registration,
        identity: Identity,
        context: RequestContext,
        options: SignInOptions = NO_OPTIONS,
        *,
        issuer_session: IssuerSession | None = None,
    ) -> Session:
        """Sign in a person whose identity a provider has proven. Raises as above.

        issuer_session: the session at the provider, by which the provider may end this one.
        """
        account = f"{registration.id}:{identity.subject}"
        with self.audited(registration.id, account, context):
            with_email = registration.provider.backend_token == "id_token"
            try:
                login = self._backend.social_login(registration.backend_name, identity, with_email, context)
            except StepRequired as required:
                if required.step.fields and options.user_id is not None:
                    raise errors.AccountMismatch("a session was confirmed with an account that is new") from None
                self.wait_for_step(
                    required.step,
                    context,
                    provider=registration.id,
                    account=account,
                    options=options,
                    issuer_session=issuer_session.to_claim() if issuer_session else None,
                    id_token=issuer_session.id_token if issuer_session else None,
                    **self._sign_up_values(identity, required.step) if required.step.fields else {},
                )
            return self.start_session(
                login,
                registration.id,
                context,
                options,
                cross_site=registration.provider.form_post,
                issuer_session=issuer_session,
            )

    def with_passkey(
        self,
        credential: str,
        context: RequestContext,
        options: SignInOptions = NO_OPTIONS,
    ) -> Session:
        """Sign in by a browser's answer to the options of `Passkeys.options`, as JSON. Raises as above."""
        answer = passkeys.parse(credential)
        account = f"{passkeys.PROVIDER}:{answer.id if answer else ''}"
        with self.audited(passkeys.PROVIDER, account, context):
            self._limiter.hit_ip(context)
            if answer is None:
                raise errors.PasskeyRejected("the answer of the browser is not valid")
            handle = self._passkeys.take(Purpose.SIGN_IN, answer, context)
            try:
                login = self._backend.passkey_login(answer.credential, handle, context)
            except StepRequired as required:
                self.wait_for_step(required.step, context, provider=passkeys.PROVIDER, account=account, options=options)
            return self.start_session(login, passkeys.PROVIDER, context, options)

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

    def start_session(
        self,
        login: Login,
        provider: str,
        context: RequestContext,
        options: SignInOptions,
        *,
        identifier: str | None = None,
        cross_site: bool = False,
        issuer_session: IssuerSession | None = None,
    ) -> Session:
        """Look the user up and start a session: nobody is signed in unless token and user are both valid.

        A token that cannot be used is revoked: it would open the account for as long as it lives.
        """
        try:
            user = self._backend.user_of(login, context)
            if options.user_id not in (None, str(user.id)):
                raise errors.AccountMismatch("a session was confirmed with another account")
            session, replaced = self._sessions.start(
                user,
                login.tokens,
                provider,
                identifier=identifier,
                cross_site=cross_site,
                issuer_session=issuer_session,
                end_others=options.end_others or self._is_account(options.end_others_of, identifier, user),
                remember=options.remember,
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
        self._sign_out.revoke_replaced(replaced, login.tokens, context)
        return session

    def _is_account(self, account: str | None, identifier: str | None, user: User) -> bool:
        hashes = {account_hash(text, self._secret_key) for text in (identifier, user.email)}
        return account is not None and account in hashes

    def wait_for_step(self, step: Step, context: RequestContext, **person: Any) -> NoReturn:
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
            pending = self.send_code(pending, pending.method, context)
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

    def send_code(self, pending: PendingSignIn, method: str, context: RequestContext) -> PendingSignIn:
        step = self._backend.resend(pending.step, method, context, pending.credentials)
        interval = step.resend_after or DEFAULT_RESEND_SECONDS
        return replace(
            pending, step=step, method=method, sent_method=method, resend_at=int(self._clock.time()) + interval
        )

    @contextmanager
    def audited(self, provider: str, identifier: str, context: RequestContext) -> Iterator[None]:
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
