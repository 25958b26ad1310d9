"""Settings that point the site to the stand-ins, and the client registrations of the stand-in providers."""

import hmac
from collections.abc import Mapping

from dev import exchanges, providers
from dev.providers.base import Client, Provider


def stand_in_origin(port: int) -> str:
    """Return the origin of the stand-ins for a site on `port`. It is cross-site to localhost, as in production."""
    return f"http://127.0.0.1:{port + 1}"


def protocol(environ: Mapping[str, str]) -> str:
    """Return the id of the recorded exchanges that the stand-in backend answers with: `BACKEND`, if it has any."""
    name = _backend_name(environ)
    return name if name in exchanges.ids() else "laravel"


def _backend_name(environ: Mapping[str, str]) -> str:
    return environ.get("BACKEND", "").strip().replace("_", "-") or "laravel"


def backend_settings(environ: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the settings that point the site to the stand-in backend."""
    origin = stand_in_origin(port)
    own = {"BACKEND_URL": origin, "BACKEND_NEXT_STEP_URLS": origin}
    if (name := protocol(environ)) != _backend_name(environ):
        return own  # such as `custom`: its calls are in settings of the developer
    settings = exchanges.fill(exchanges.load(name).settings, {"url": origin})
    # A call that is given as a whole has no other path.
    paths = [setting for setting in settings if setting.removesuffix("_PATH") in environ]
    return own | {setting: text for setting, text in settings.items() if setting not in paths}


def missing_settings(environ: Mapping[str, str], port: int, key: str) -> dict[str, str]:
    """Return the settings of the stand-in providers that are missing in `environ`.

    `key`: the secret from which the client secrets are derived, so that all processes of a checkout agree.
    A provider with a client id is a real one and keeps its settings. Without `PROVIDERS` all stand-ins are used,
    but not with a real backend, which does not accept their tokens, nor with one that has no social sign-in.
    """
    defaults = _providers_default(environ)
    for provider in providers_without_settings(environ):
        secret = hmac.digest(key.encode(), provider.id.encode(), "sha256").hex()[:32]
        settings = provider.settings(f"{stand_in_origin(port)}/{provider.id}", secret)
        defaults |= {
            f"{provider.id.upper()}_{setting}": value
            for setting, value in ({"CLIENT_ID": provider.client_id} | settings).items()
        }
    return {name: value for name, value in defaults.items() if name not in environ}


def providers_without_settings(environ: Mapping[str, str]) -> list[Provider]:
    """Return the providers that are enabled but have no client id: their stand-ins replace them."""
    enabled = _providers({**_providers_default(environ), **environ})
    return [provider for provider in enabled if f"{provider.id.upper()}_CLIENT_ID" not in environ]


def _providers_default(environ: Mapping[str, str]) -> dict[str, str]:
    has_social = "social" in exchanges.load(protocol(environ)).calls
    return {} if "BACKEND_URL" in environ or not has_social else {"PROVIDERS": ",".join(providers.stand_ins())}


def client_registrations(settings: Mapping[str, str]) -> dict[str, Client]:
    """Return the client registration of the site by provider id. `settings` must be complete."""
    return {
        provider.id: Client(
            provider,
            settings={
                setting.removeprefix(f"{provider.id.upper()}_"): value
                for setting, value in settings.items()
                if setting.startswith(f"{provider.id.upper()}_")
            },
            redirect_uri=f"{settings['SITE_URL'].rstrip('/')}/api/auth/callback/{provider.id}",
        )
        for provider in _providers(settings)
    }


def _providers(settings: Mapping[str, str]) -> list[Provider]:
    """Return the stand-ins of the providers in `PROVIDERS` that have one. The site itself reports unknown names."""
    words = [word.strip().lower() for word in settings.get("PROVIDERS", "").split(",")]
    return [provider for provider in map(providers.find, words) if provider]
