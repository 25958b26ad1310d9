"""Is a provider there, and does it take our credentials?"""

import secrets
from collections.abc import Iterator

import config
import errors
from doctor.finding import ADVICE, OK, WRONG, Finding
from providers.base import Registration
from services import Services
from services.oauth.attempts import Attempt


def examine(settings: config.Settings, services: Services, registration: Registration) -> Iterator[Finding]:
    """A made-up code is refused in one way if the credentials are right, and in another if they are not."""
    callback = f"{settings.site_url}/api/auth/callback/{registration.id}"
    try:
        services.oauth.start(registration, None, None)
        answer = {
            "code": f"doctor-{secrets.token_hex(8)}",
            **({"iss": registration.issuer} if registration.issuer else {}),
        }
        services.oauth.finish(registration, Attempt(registration.id, None, None), answer)
        yield Finding(WRONG, registration.id, "it redeemed a code that nobody gave out", "Do not use this issuer.")
    except errors.Configuration as error:
        yield Finding(WRONG, registration.id, error.reason, f"Its console must know id, secret and {callback}.")
    except errors.ProviderUnavailable as error:
        yield Finding(WRONG, registration.id, error.reason, "Can it be reached from here, and is its address right?")
    except errors.AttemptExpired:
        yield Finding(OK, registration.id, f"takes our credentials; callback address to register: {callback}")
    except errors.SiteError as error:
        found = f"reached; whether it takes our credentials cannot be told ({error.reason})"
        yield Finding(
            ADVICE, registration.id, found, f"Sign in once yourself. Callback address to register: {callback}"
        )
