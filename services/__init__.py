"""What the product does, built once for each site from its settings."""

from dataclasses import dataclass

from flask import current_app

from config import Settings
from services.backend.client import Backend
from services.clock import Clock
from services.http.client import HttpClient
from services.limits.device_cookie import Device
from services.limits.login_limiter import LoginLimiter
from services.oauth.attempts import Attempts
from services.oauth.client import OAuthClient
from services.observability.metrics import Metrics
from services.profile import Profile
from services.sessions.cookie import SessionCookie
from services.sessions.manager import Sessions
from services.sessions.revalidation import Revalidator
from services.sessions.revocation import RevokedSessions
from services.sign_in import SignIn
from services.state.redis import Redis

__version__ = "0.1.0"


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    backend: Backend
    sessions: Sessions
    sign_in: SignIn
    oauth: OAuthClient
    attempts: Attempts
    profile: Profile
    limiter: LoginLimiter
    device: Device
    revoked_sessions: RevokedSessions
    redis: Redis | None
    http_clients: tuple[HttpClient, HttpClient]
    metrics: Metrics | None

    @classmethod
    def build(cls, settings: Settings, clock: Clock) -> "Services":
        backend_http = _http_client(settings, for_backend=True)
        provider_http = _http_client(settings, for_backend=False)
        backend = Backend(settings, backend_http)
        redis = None if settings.redis_url is None else Redis(settings.redis_url, clock)
        device = Device(settings)
        limiter, revoked = LoginLimiter(settings, redis, device, clock), RevokedSessions(settings, redis, clock)
        sessions = Sessions(
            settings, SessionCookie(settings, clock), Revalidator(settings, backend, clock), revoked, clock
        )
        return cls(
            settings=settings,
            backend=backend,
            sessions=sessions,
            sign_in=SignIn(settings, backend, sessions, limiter),
            oauth=OAuthClient(settings, provider_http, clock),
            attempts=Attempts(settings, clock),
            profile=Profile(settings, backend, sessions),
            limiter=limiter,
            device=device,
            revoked_sessions=revoked,
            redis=redis,
            http_clients=(backend_http, provider_http),
            metrics=Metrics((backend_http, provider_http), redis, revoked) if settings.metrics_token else None,
        )

    def close(self) -> None:
        """Close all connections, soon, and stop following the list of ended sessions."""
        self.revoked_sessions.stop()
        for client in self.http_clients:
            client.close()
        if self.redis:
            self.redis.close()

    async def aclose(self) -> None:
        """The same, on the running event loop, at once."""
        self.revoked_sessions.stop()
        for one in (*self.http_clients, self.redis):
            if one:
                await one.aclose()


def _http_client(settings: Settings, *, for_backend: bool) -> HttpClient:
    return HttpClient(
        f"Munjigi/{__version__}",
        max_concurrency=settings.backend_concurrency,
        proxy=settings.outbound_proxy,
        no_proxy=settings.outbound_no_proxy,
        client_cert=settings.backend_client_cert if for_backend else None,
    )


def services() -> Services:
    """Those of the site that serves this request."""
    return current_app.extensions["munjigi"]  # type: ignore[no-any-return]  # Flask keeps anything there
