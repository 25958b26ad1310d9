"""LINE: an id_token signed with the channel secret (HS256, no `kid`), the only place where the address is."""

from collections.abc import Mapping

from dev.personas import EVERYBODY, Person
from dev.providers.base import Account, Failure, Json, Persona, Provider


def _persona(person: Person) -> Persona:
    subject = "U" + person.hexadecimal[:32]
    picture = "https://profile.line-scdn.net/0hEXAMPLE" if person.picture else None
    display_name = person.name or "."  # an account of LINE always has one
    profile = {"userId": subject, "displayName": display_name, "pictureUrl": picture, "statusMessage": "안녕"}
    userinfo = {"sub": subject, "name": display_name, "picture": picture}
    claims = {"amr": ["linesso"], "name": display_name, "picture": picture, "email": person.email}
    return Persona(
        person.key,
        person.shows,
        subject,
        _known(claims),
        {"/v2/profile": _known(profile), "/oauth2/v2.1/userinfo": _known(userinfo)},
    )


def _known(items: Mapping[str, object]) -> Json:
    return {name: value for name, value in items.items() if value is not None}


def _objection(wish: Mapping[str, str]) -> str | None:
    return None if wish.get("state") else "`state` is required"


def _taken(profile: Json) -> Account:
    return Account(profile["userId"], profile.get("displayName"))


def _upper_case(callback: Json) -> Json:
    return callback | {"error": callback["error"].upper()} if "error" in callback else callback


LINE = Provider(
    id="line",
    name="LINE",
    client_id="1650000000",
    personas=tuple(_persona(person) for person in EVERYBODY if person.key != "unverified"),
    authorization_path="/oauth2/v2.1/authorize",
    token_path="/oauth2/v2.1/token",
    account=_taken,
    user_urls=("https://api.line.me/v2/profile",),
    issuer="https://access.line.me",
    algorithm="HS256",
    objection=_objection,
    cancelled={"error": "access_denied", "error_description": "The resource owner denied the request."},
    token_answer=lambda scopes: {
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
    variants={
        "upper_case": Failure(
            "error codes in upper case, as newer docs have them (with Cancel)", "callback", _upper_case
        )
    },
)
