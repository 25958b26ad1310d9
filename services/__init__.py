"""What the product does, built once for each site from its settings."""

from dataclasses import dataclass

from flask import current_app

from config import Settings
from services.attempts import Attempts
from services.backend import Backend
from services.identities import Identities
from services.profile import Profile
from services.recheck import Recheck
from services.session import Sessions
from services.session_cookie import SessionCookie
from services.sign_in import SignIn
from services.upstream import Upstream

VERSION = "0.1.0"


@dataclass(frozen=True)
class Services:
    settings: Settings
    backend: Backend
    sessions: Sessions
    sign_in: SignIn
    identities: Identities
    attempts: Attempts
    profile: Profile

    @classmethod
    def build(cls, settings: Settings) -> "Services":
        upstream = Upstream(settings.threads, f"Munjigi/{VERSION}")
        backend = Backend(settings, upstream)
        sessions = Sessions(settings, SessionCookie(settings), Recheck(settings, backend))
        sign_in = SignIn(settings, backend, sessions)
        identities, attempts = Identities(settings, upstream), Attempts(settings)
        return cls(settings, backend, sessions, sign_in, identities, attempts, Profile(settings, backend, sessions))


def services() -> Services:
    """Those of the site that serves this request."""
    return current_app.extensions["munjigi"]  # type: ignore[no-any-return]  # Flask keeps anything there
