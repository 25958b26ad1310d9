"""Development providers that are made of a file in `providers/`, for files that are not here yet."""

import pytest

import providers
from dev.failures import available_failures
from dev.providers import derived
from providers.base import Example, Identity, Provider

NAME, ADDRESS = "김하늘", "haneul.kim@example.com"
CLAIMS = {"sub": "4711", "preferred_username": NAME, "email": ADDRESS, "email_verified": True}
HANEUL = Identity(subject="4711", name=NAME, email=ADDRESS, email_verified=True)


def openid_provider(user_url: str | None = None, scope: str = "openid user:read:email") -> Provider:
    return Provider(
        id="streams",
        label={"en": "Streams"},
        issuer="https://id.streams.example",
        authorize_url="https://id.streams.example/authorize",
        token_url="https://id.streams.example/token",
        keys_url="https://id.streams.example/keys",
        user_url=user_url,
        is_oidc=True,
        scope=scope,
        identity=lambda responses: Identity(
            subject=responses.claims["sub"],
            name=responses.claims.get("preferred_username"),
            email=responses.claims.get("email"),
            email_verified=responses.claims.get("email_verified"),
        ),
        examples=(Example("complete profile", HANEUL, claims=CLAIMS),),
    )


@pytest.mark.parametrize("user_url", [None, "https://api.streams.example/me"])
def test_an_openid_provider_needs_only_the_claims_of_its_examples(user_url: str | None) -> None:
    stand_in = derived.stand_in(openid_provider(user_url))
    (document,) = stand_in.personas[0].api_responses.values()
    account = stand_in.account(document)
    assert (account.name, account.email) == (document["preferred_username"], document["email"])
    assert "user_other_sub" in available_failures(stand_in)


def test_claims_depend_on_the_standard_scopes_that_the_provider_asks_for() -> None:
    assert derived.stand_in(openid_provider(scope="openid user:read:email")).scopes == {}
    assert set(derived.stand_in(openid_provider(scope="openid profile email")).scopes) == {"profile", "email"}
    assert set(derived.stand_in(providers.find("microsoft")).scopes) == {"profile", "email"}
