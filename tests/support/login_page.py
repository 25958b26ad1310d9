"""The login page: its path, the settings for a button of every provider, and a browser inside another app."""

import providers

LOGIN = "/auth/login/email"
EVERY_PROVIDER: dict[str, object] = {
    "providers": ",".join(provider.id for provider in providers.in_order()),
    **{f"{name}_client_id": "id" for name in providers.names()},
    **{f"{name}_client_secret": "secret-of-this-test" for name in providers.names()},
    **{
        f"{name}_{setting.lower()}": spec.example
        for name in providers.names()
        for setting, spec in providers.find(name).settings.items()
        if spec.required
    },
}
ANDROID_WEB_VIEW = "Mozilla/5.0 (Linux; Android 14; SM-S911N; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
ANDROID_WEB_VIEW += " Chrome/124.0.0.0 Mobile Safari/537.36"
