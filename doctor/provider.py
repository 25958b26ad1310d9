"""Is a provider there, and does it take our credentials?"""

import secrets
from collections.abc import Iterator

import config
import errors
from doctor.finding import ADVICE, OK, WRONG, Finding
from providers.base import Client
from services import Services
from services.oauth.attempts import Attempt
from services.request_context import Deadline, RequestContext


def examine(settings: config.Settings, services: Services, client: Client) -> Iterator[Finding]:
    """A made-up code is refused in one way if the credentials are right, and in another if they are not."""
    callback = f"{settings.site_url}/api/auth/callback/{client.id}"
    context = RequestContext(
        client_ip=None,
        locale="en",
        request_id="doctor",
        deadline=Deadline(settings.backend_timeout, services.clock),
    )
    try:
        services.oauth.authorization_url(client, context, None, None)
        answer = {"code": f"doctor-{secrets.token_hex(8)}", **({"iss": client.issuer} if client.issuer else {})}
        services.oauth.fetch_identity(client, Attempt(client.id, None, None), answer, context)
        yield Finding(WRONG, client.id, "it redeemed a code that nobody gave out", "Do not use this issuer.")
    except errors.Configuration as error:
        yield Finding(WRONG, client.id, error.reason, f"Its console must know id, secret and {callback}.")
    except errors.ProviderUnavailable as error:
        yield Finding(WRONG, client.id, error.reason, "Can it be reached from here, and is its address right?")
    except errors.AttemptExpired:
        yield Finding(OK, client.id, f"takes our credentials; callback address to register: {callback}")
    except errors.SiteError as error:
        found = f"reached; whether it takes our credentials cannot be told ({error.reason})"
        yield Finding(ADVICE, client.id, found, f"Sign in once yourself. Callback address to register: {callback}")
