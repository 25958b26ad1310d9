"""Settings that lead the site to the stand-in providers, and what these need to know of the site."""

import hmac
from collections.abc import Mapping

from dev.providers import PROVIDERS
from dev.providers.base import Client


def origin(port: int) -> str:
    """Where the stand-ins are for a site on this port: another site than the page's, as in production."""
    return f"http://127.0.0.1:{port + 1}"


def completed(given: Mapping[str, str], port: int, key: str) -> dict[str, str]:
    """What is missing in `given` to sign in through every provider that it names; all, if it names none.

    `key`: this checkout's secret, of which the secrets of the stand-ins are made: processes that share it agree.
    A provider with a client id has its settings already, and is the real one. A real backend takes no token of a
    stand-in, so none is offered beside one unless `PROVIDERS` asks for it.
    """
    ours = _default_providers(given)
    for name in providers_without_settings(given):
        secret = hmac.digest(key.encode(), name.encode(), "sha256").hex()[:32]
        settings = PROVIDERS[name].settings(f"{origin(port)}/{name}", secret)
        ours |= {
            f"{name.upper()}_{setting}": value
            for setting, value in ({"CLIENT_ID": PROVIDERS[name].client_id} | settings).items()
        }
    return {name: value for name, value in ours.items() if name not in given}


def providers_without_settings(environ: Mapping[str, str]) -> list[str]:
    """Return the providers that are enabled but have no client id: their stand-ins replace them."""
    names = _named({**_default_providers(environ), **environ})
    return [name for name in names if f"{name.upper()}_CLIENT_ID" not in environ]


def _default_providers(environ: Mapping[str, str]) -> dict[str, str]:
    return {} if "BACKEND_URL" in environ else {"PROVIDERS": ",".join(PROVIDERS)}


def clients(settings: Mapping[str, str]) -> dict[str, Client]:
    """The site as each of its providers knows it, by id; `settings` are complete."""
    return {
        name: Client(
            settings={
                setting.removeprefix(f"{name.upper()}_"): value
                for setting, value in settings.items()
                if setting.startswith(f"{name.upper()}_")
            },
            redirect_uri=f"{settings['SITE_URL'].rstrip('/')}/api/auth/callback/{name}",
        )
        for name in _named(settings)
    }


def _named(settings: Mapping[str, str]) -> list[str]:
    """Ids that exist; the site itself says what is wrong with another."""
    words = [word.strip().lower() for word in settings.get("PROVIDERS", "").split(",")]
    return [word for word in words if word in PROVIDERS]
