"""GitHub: plain OAuth 2.0; errors have status 200, and emails have a separate endpoint. docs/providers/github.md"""

from providers.base import Identity, Provider, ProviderResponses, dig


def _identity(responses: ProviderResponses) -> Identity:
    addresses = responses.extra if isinstance(responses.extra, list) else []
    primary = [entry for entry in addresses if dig(entry, "primary") is True and dig(entry, "verified") is True]
    return Identity(
        subject=dig(responses.user, "id"),  # not the login: another user can take over a released one
        name=dig(responses.user, "name") or dig(responses.user, "login"),
        nickname=dig(responses.user, "login"),
        email=dig(primary[0], "email") if primary else None,
        email_verified=bool(primary),
        picture=dig(responses.user, "avatar_url"),
    )


provider = Provider(
    id="github",
    label={"en": "GitHub"},
    colors=("#1f2328", "#ffffff", "#868e89"),
    issuer="https://github.com/login/oauth",
    authorize_url="https://github.com/login/oauth/authorize",
    token_url="https://github.com/login/oauth/access_token",
    user_url="https://api.github.com/user",
    optional_url="https://api.github.com/user/emails",
    scope="read:user user:email",
    identity=_identity,
)
