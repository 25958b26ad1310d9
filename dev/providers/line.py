"""LINE: the id_token is signed with the channel secret (HS256, no `kid`). Only it has the e-mail address."""

from collections.abc import Mapping

from dev.personas import PERSONS, Person
from dev.providers.base import Account, Failure, Json, Persona, Provider


def _persona(person: Person) -> Persona:
    subject = "U" + person.hexadecimal[:32]
    picture = "https://profile.line-scdn.net/0hEXAMPLE" if person.picture else None
    display_name = person.name or "."  # LINE accounts always have a display name
    profile = {"userId": subject, "displayName": display_name, "pictureUrl": picture, "statusMessage": "안녕"}
    userinfo = {"sub": subject, "name": display_name, "picture": picture}
    claims = {"amr": ["linesso"], "name": display_name, "picture": picture, "email": person.email}
    return Persona(
        person.key,
        person.description,
        subject,
        _without_none(claims),
        {"/v2/profile": _without_none(profile), "/oauth2/v2.1/userinfo": _without_none(userinfo)},
    )


def _without_none(items: Mapping[str, object]) -> Json:
    return {name: value for name, value in items.items() if value is not None}


def _validate_request(params: Mapping[str, str]) -> str | None:
    return None if params.get("state") else "`state` is required"


def _account(profile: Json) -> Account:
    return Account(profile["userId"], profile.get("displayName"))


def _upper_case(callback: Json) -> Json:
    return callback | {"error": callback["error"].upper()} if "error" in callback else callback


provider = Provider(
    id="line",
    name="LINE",
    client_id="1650000000",
    personas=tuple(_persona(person) for person in PERSONS if person.key != "unverified"),
    authorization_path="/oauth2/v2.1/authorize",
    token_path="/oauth2/v2.1/token",
    account=_account,
    user_urls=("https://api.line.me/v2/profile",),
    issuer="https://access.line.me",
    algorithm="HS256",
    validate_request=_validate_request,
    cancel_error={"error": "access_denied", "error_description": "The resource owner denied the request."},
    token_response=lambda scopes: {
        "expires_in": 2592000,
        "refresh_token": "Aa1FdeggRhTn-made-up",
        "scope": " ".join(scope for scope in scopes if scope != "email"),
        "token_type": "Bearer",
    },
    errors={
        "invalid_client": (400, {"error": "invalid_client", "error_description": "client authentication failed"}),
        "invalid_grant": (400, {"error": "invalid_grant", "error_description": "invalid authorization code"}),
        "invalid_token": (401, {"message": "The access token expired"}),
    },
    failures={
        "upper_case": Failure("error codes in upper case, as in newer docs (press Cancel)", "callback", _upper_case)
    },
)
