"""GitHub: plain OAuth 2.0; errors have status 200, and emails have a separate endpoint. docs/providers/github.md"""

import settings_readers as read
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


_MARK = (
    '<path d="M14.8 22.64a11 11 0 1 0-5.5.02v-2.2Q6.3 20.9 5.5 18.9 5.1 17.9 4.2 17.4 4.9 16.4 6.2 17.5 7.4 19.3 '
    "9.3 18.6 9.4 17.6 10 17 5.2 16.6 5.2 11.6 5.2 9.9 6.3 8.7 5.8 7 6.5 5.5 8 5.6 9.6 6.8 12 6.2 14.4 6.8 16 "
    '5.6 17.5 5.5 18.2 7 17.7 8.7 18.8 9.9 18.8 11.6 18.8 16.6 14 17 14.8 17.8 14.8 19.4z" fill="currentColor"/>'
)

provider = Provider(
    id="github",
    order=50,
    label={"en": "GitHub"},
    colors=("#1f2328", "#ffffff", "#868e89"),
    mark=_MARK,
    issuer="https://github.com/login/oauth",
    authorize_url="https://github.com/login/oauth/authorize",
    token_url="https://github.com/login/oauth/access_token",
    user_url="https://api.github.com/user",
    optional_url="https://api.github.com/user/emails",
    scope="read:user user:email",
    optional_params={"prompt": read.choice("select_account"), "allow_signup": read.choice("true", "false")},
    identity=_identity,
)
