"""What the product does, built once for each site from its settings."""

from dataclasses import dataclass

from flask import current_app

from config import Settings
from services.attempts import Attempts
from services.backend import Backend
from services.clock import Clock
from services.device import Device
from services.ended import EndedSessions
from services.identities import Identities
from services.metrics import Metrics
from services.profile import Profile
from services.recheck import Recheck
from services.session import Sessions
from services.session_cookie import SessionCookie
from services.shared_state import SharedState
from services.sign_in import SignIn
from services.throttle import Throttle
from services.upstream import Upstream

__version__ = "0.1.0"


@dataclass(frozen=True)
class Services:
    settings: Settings
    backend: Backend
    sessions: Sessions
    sign_in: SignIn
    identities: Identities
    attempts: Attempts
    profile: Profile
    throttle: Throttle
    device: Device
    ended: EndedSessions
    metrics: Metrics | None

    @classmethod
    def build(cls, settings: Settings, clock: Clock) -> "Services":
        name, threads = f"Munjigi/{__version__}", settings.threads
        half, quarter = max(2, threads // 2), max(1, threads // 4)
        calls = Upstream(threads, threads, half, name)
        backend = Backend(settings, calls)
        # Providers are others' machines: all of them dead must leave places for the backend. Of the three times
        # THREADS that the server has, one calls the backend, a half waits to, and another of each is for providers.
        providers = Upstream(half, quarter, half, name)
        state, device = SharedState(settings.state_url), Device(settings)
        throttle, ended = Throttle(settings, state, device, clock), EndedSessions(settings, state, clock)
        sessions = Sessions(settings, SessionCookie(settings, clock), Recheck(settings, backend, clock), ended, clock)
        return cls(
            settings,
            backend,
            sessions,
            sign_in=SignIn(settings, backend, sessions, throttle),
            identities=Identities(settings, providers, clock),
            attempts=Attempts(settings, clock),
            profile=Profile(settings, backend, sessions),
            throttle=throttle,
            device=device,
            ended=ended,
            metrics=Metrics((calls, providers), state, ended) if settings.metrics_token else None,
        )


def services() -> Services:
    """Those of the site that serves this request."""
    return current_app.extensions["munjigi"]  # type: ignore[no-any-return]  # Flask keeps anything there
