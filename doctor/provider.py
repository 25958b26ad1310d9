"""Checks that a provider is reachable and accepts the site's credentials."""

import secrets
from collections.abc import Iterator

import config
import errors
from doctor.finding import ERROR, OK, WARNING, Finding
from providers.base import Registration
from services import Services
from services.oauth.attempts import Attempt
from services.oauth.provider_metadata import Endpoints
from services.request_context import Deadline, RequestContext


def check(settings: config.Settings, services: Services, registration: Registration) -> Iterator[Finding]:
    """Send a made-up authorization code to the token endpoint.

    With valid credentials, the provider refuses the code; with invalid ones, it refuses the client (RFC 6749, 5.2).
    """
    name = registration.id
    callback_url = f"{settings.site_url}/api/auth/callback/{name}"
    issuer = {"iss": registration.issuer} if registration.issuer else {}
    deadline = Deadline(settings.backend_timeout, services.clock)
    context = RequestContext(client_ip=None, locale="en", request_id="doctor", deadline=deadline)
    try:
        services.oauth.authorization_url(registration, context, None, None)
        params = {"code": f"doctor-{secrets.token_hex(8)}", **issuer}
        services.oauth.fetch_identity(registration, Attempt(name, None, None), params, context)
        yield Finding(ERROR, name, "it accepted a made-up authorization code", "Do not use this issuer.")
    except errors.Configuration as error:
        fix = f"Compare client id, client secret and callback URL ({callback_url}) with the provider's console."
        yield Finding(ERROR, name, error.reason, fix)
    except errors.ProviderUnavailable as error:
        yield Finding(ERROR, name, error.reason, "Check the network and the provider's URL.")
        return
    except errors.AttemptExpired:
        yield Finding(OK, name, f"accepts the client credentials; register the callback URL {callback_url}")
    except errors.SiteError as error:
        message = f"reachable, but its response does not show whether the client credentials are valid ({error.reason})"
        fix = f"Sign in once to be sure. Register the callback URL {callback_url}."
        yield Finding(WARNING, name, message, fix)
    if registration.provider.notifications:
        url = f"{settings.site_url}/api/auth/notifications/{name}"
        yield Finding(OK, name, f"notifies the site of changes to accounts; register the notification endpoint {url}")
    yield from _check_logout(settings, registration, services.oauth.metadata.endpoints(registration, context))


def _check_logout(settings: config.Settings, registration: Registration, endpoints: Endpoints) -> Iterator[Finding]:
    """Say which addresses to register for sign-outs."""
    name = registration.id
    if registration.provider.can_send_logout_tokens and endpoints.sends_logout_tokens:
        url = f"{settings.site_url}/api/auth/backchannel-logout/{name}"
        yield Finding(OK, name, f"supports back-channel logout; register the back-channel logout URI {url}")
    if registration.ends_at_provider and endpoints.end_session_endpoint:
        url = f"{settings.site_url}/auth/logout/done"
        yield Finding(OK, name, f"signs people out at {endpoints.end_session_endpoint}; register the logout URI {url}")
    elif registration.ends_at_provider:
        message = f"{name.upper()}_LOGOUT is set, but its metadata has no end_session_endpoint"
        yield Finding(ERROR, name, message, f"Remove {name.upper()}_LOGOUT: people are signed out here only.")
