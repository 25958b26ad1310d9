"""GitHub: plain OAuth 2.0; refusals come with status 200, e-mail addresses apart. docs/providers/github.md"""

from providers.base import Answers, Identity, Provider, at


def _identity(answers: Answers) -> Identity:
    addresses = answers.more if isinstance(answers.more, list) else []
    primary = [one for one in addresses if at(one, "primary") is True and at(one, "verified") is True]
    return Identity(
        subject=at(answers.user, "id"),  # never the login, which can be given up and taken by somebody else
        name=at(answers.user, "name") or at(answers.user, "login"),
        nickname=at(answers.user, "login"),
        email=at(primary[0], "email") if primary else None,
        email_verified=bool(primary),
        picture=at(answers.user, "avatar_url"),
    )


provider = Provider(
    id="github",
    label={"en": "GitHub"},
    colours=("#1f2328", "#ffffff", "#868e89"),
    issuer="https://github.com/login/oauth",
    authorize_url="https://github.com/login/oauth/authorize",
    token_url="https://github.com/login/oauth/access_token",
    user_url="https://api.github.com/user",
    optional_url="https://api.github.com/user/emails",
    scope="read:user user:email",
    identity=_identity,
)
