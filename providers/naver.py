"""Naver: plain OAuth 2.0; answers come in an envelope, refusals with status 200. docs/providers/naver.md"""

from providers.base import Answers, App, Identity, Provider, at


def _identity(answers: Answers) -> Identity:
    if at(answers.user, "resultcode") != "00":
        raise ValueError("the envelope says that there is no person")
    person = at(answers.user, "response")
    return Identity(
        subject=at(person, "id"),
        name=at(person, "name"),
        nickname=at(person, "nickname"),
        email=at(person, "email"),  # a contact address that people may change: never verified
        picture=at(person, "profile_image"),
    )


provider = Provider(
    id="naver",
    label={"en": "NAVER", "ko": "네이버"},
    button={"en": "Log in with NAVER", "ko": "네이버 로그인"},
    colours=("#ffffff", "#1b1f1d", "#868e89"),  # white on its green cannot be read well enough
    issuer="https://nid.naver.com",
    authorize_url="https://nid.naver.com/oauth2.0/authorize",
    token_url="https://nid.naver.com/oauth2.0/token",
    token_params=("state",),
    user_url="https://openapi.naver.com/v1/nid/me",
    code_reuse_errors=frozenset({"invalid_grant", "invalid_request"}),  # "no valid data in session"
    app=App({"en": "NAVER", "ko": "네이버"}, r"\bNAVER\(inapp"),
    identity=_identity,
)
