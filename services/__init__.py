"""The services of a site. `Services` is built once for each site, from its settings."""

import asyncio
from dataclasses import dataclass

from flask import Flask, current_app

from config import Settings
from services.accounts import Accounts
from services.assertions import Assertions
from services.backchannel_logout import BackchannelLogout
from services.backend.account_calls import AccountCalls
from services.backend.client import BackendClient
from services.backend.link_calls import LinkCalls
from services.backend.passkey_calls import PasskeyCalls
from services.clock import Clock
from services.http.client import HttpClient
from services.limits.device_cookie import DeviceCookie
from services.limits.rate_limiter import RateLimiter
from services.next_step import NextStep
from services.oauth.attempts import Attempts
from services.oauth.client import OAuthClient
from services.oauth.provider_logout import ProviderLogout
from services.observability import tracing as opentelemetry
from services.observability.audit import AuditLog
from services.observability.metrics import Metrics
from services.observability.tracing import Tracing
from services.passkeys import Passkeys
from services.pending_link import PendingLink
from services.pending_sign_ins import PendingSignIns
from services.profile import Profile
from services.provider_events import ProviderEvents
from services.provider_links import ProviderLinks
from services.request_context import GetContext
from services.sessions.cookie import SessionCookie
from services.sessions.manager import Sessions
from services.sessions.memory import SessionMemory
from services.sessions.revalidation import Revalidator
from services.sessions.revoked_sessions import RevokedSessions
from services.sessions.session_list import SessionList
from services.sessions.token_refresh import TokenRefresher
from services.sessions.token_store import TokenStore
from services.sign_in import SignIn
from services.sign_out import SignOut
from services.state.redis import Redis
from services.trusted_browser import TrustedBrowser

__version__ = "0.1.0"


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    clock: Clock
    audit: AuditLog
    backend: BackendClient
    sessions: Sessions
    assertions: Assertions | None
    refresher: TokenRefresher
    session_list: SessionList | None
    sign_in: SignIn
    next_step: NextStep
    sign_out: SignOut
    pending_sign_ins: PendingSignIns
    passkeys: Passkeys
    oauth: OAuthClient
    provider_logout: ProviderLogout
    attempts: Attempts
    profile: Profile
    accounts: Accounts
    provider_links: ProviderLinks
    pending_link: PendingLink
    limiter: RateLimiter
    revoked_sessions: RevokedSessions
    backchannel_logout: BackchannelLogout
    provider_events: ProviderEvents
    redis: Redis | None
    http_clients: tuple[HttpClient, HttpClient]
    metrics: Metrics | None
    tracing: Tracing | None

    @classmethod
    def build(cls, settings: Settings, site: Flask, get_context: GetContext, clock: Clock) -> "Services":
        """site: the sender of signals. get_context: returns the context of the current request."""
        tracing = opentelemetry.create(settings.otel_exporter_otlp_endpoint, __version__)
        backend_http = _http_client(settings, tracing, for_backend=True)
        provider_http = _http_client(settings, tracing, for_backend=False)
        redis = Redis(settings.redis_url, clock) if settings.redis_url else None
        audit, backend = AuditLog(site), BackendClient(settings, backend_http, clock)
        limiter = RateLimiter(settings, redis, DeviceCookie(settings, clock), audit, clock)
        session_memory = SessionMemory(redis, clock)
        revoked_sessions = RevokedSessions(settings, redis, clock, session_memory)
        token_store = TokenStore(redis, settings.secret_keys, clock)
        refresher = TokenRefresher(settings, backend, token_store, revoked_sessions, clock)
        if feed := revoked_sessions.feed:
            session_memory.publish_change = revoked_sessions.publish_change
            feed.on_reconnect = token_store.save_all_again
            token_store.get_generation = lambda: feed.generation
        session_list = SessionList(settings, redis, revoked_sessions, clock) if redis else None
        sessions = Sessions(
            settings,
            cookie=SessionCookie(settings, clock),
            memory=session_memory,
            token_store=token_store,
            refresher=refresher,
            session_list=session_list,
            revalidator=Revalidator(settings, backend, clock, session_memory, refresher),
            revoked_sessions=revoked_sessions,
            audit=audit,
            get_context=get_context,
            clock=clock,
        )
        oauth = OAuthClient(settings, provider_http, clock)
        pending = PendingSignIns(settings, redis, clock)
        provider_logout = ProviderLogout(settings, oauth.metadata, clock)
        metrics = None
        if settings.metrics_token:
            redis_parts = {"counts": redis, "revoked_sessions": revoked_sessions.feed} if redis else {}
            provider_ids = ("email", *(registration.id for registration in settings.registrations))
            metrics = Metrics(site, (backend_http, provider_http), refresher, redis_parts, provider_ids)
        passkeys = Passkeys(
            settings,
            calls=PasskeyCalls(settings, backend),
            sessions=sessions,
            limiter=limiter,
            redis=redis,
            audit=audit,
            clock=clock,
        )
        sign_out = SignOut(backend=backend, sessions=sessions, provider_logout=provider_logout, audit=audit)
        trusted = TrustedBrowser(settings, clock)
        sign_in = SignIn(
            settings,
            backend=backend,
            sessions=sessions,
            pending=pending,
            trusted=trusted,
            passkeys=passkeys,
            limiter=limiter,
            sign_out=sign_out,
            audit=audit,
            clock=clock,
        )
        next_step = NextStep(
            settings,
            sign_in=sign_in,
            backend=backend,
            sessions=sessions,
            pending=pending,
            trusted=trusted,
            limiter=limiter,
            audit=audit,
            clock=clock,
        )
        profile = Profile(backend, sessions)
        backchannel_logout = BackchannelLogout(
            settings, oauth=oauth, revoked_sessions=revoked_sessions, redis=redis, audit=audit, clock=clock
        )
        return cls(
            settings=settings,
            clock=clock,
            audit=audit,
            backend=backend,
            sessions=sessions,
            assertions=Assertions(settings, keys, clock) if (keys := settings.assertion_private_key) else None,
            refresher=refresher,
            session_list=session_list,
            sign_in=sign_in,
            next_step=next_step,
            sign_out=sign_out,
            pending_sign_ins=pending,
            passkeys=passkeys,
            provider_logout=provider_logout,
            oauth=oauth,
            attempts=Attempts(settings, clock, redis),
            profile=profile,
            accounts=Accounts(
                settings,
                calls=AccountCalls(settings, backend, clock),
                backend=backend,
                sessions=sessions,
                sign_in=sign_in,
                profile=profile,
                limiter=limiter,
                audit=audit,
                clock=clock,
            ),
            provider_links=ProviderLinks(
                settings,
                calls=LinkCalls(settings, backend),
                backend=backend,
                sessions=sessions,
                limiter=limiter,
                audit=audit,
            ),
            pending_link=PendingLink(settings, clock),
            limiter=limiter,
            revoked_sessions=revoked_sessions,
            backchannel_logout=backchannel_logout,
            provider_events=ProviderEvents(
                settings,
                oauth=oauth,
                backend=backend,
                revocation=backchannel_logout,
                redis=redis,
                audit=audit,
                clock=clock,
            ),
            redis=redis,
            http_clients=(backend_http, provider_http),
            metrics=metrics,
            tracing=tracing,
        )

    def close(self) -> None:
        """Close all connections and stop the revocation feed, from any thread."""
        self.revoked_sessions.stop_feed()
        for client in self.http_clients:
            client.close()
        if self.redis:
            self.redis.close()
        if self.tracing:
            self.tracing.flush()

    async def aclose(self) -> None:
        """The same on the running event loop; returns when the connections are closed."""
        self.revoked_sessions.stop_feed()
        for client in (*self.http_clients, self.redis):
            if client:
                await client.aclose()
        if self.tracing:
            await asyncio.to_thread(self.tracing.flush)


def _http_client(settings: Settings, tracing: Tracing | None, *, for_backend: bool) -> HttpClient:
    return HttpClient(
        f"Munjigi/{__version__}",
        max_concurrency=settings.backend_concurrency,
        proxy=settings.outbound_proxy,
        no_proxy=settings.outbound_no_proxy,
        client_cert=settings.backend_client_cert if for_backend else None,
        sends_tracestate=for_backend,
        tracing=tracing,
    )


def services() -> Services:
    """The services of the site that handles this request."""
    return current_app.extensions["munjigi"]  # type: ignore[no-any-return]  # Flask accepts any value there
