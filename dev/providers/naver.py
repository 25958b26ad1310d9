"""Naver: OAuth 2.0 without PKCE. User data is nested under `response`, and errors have status 200."""

from collections.abc import Mapping

from dev.personas import HANEUL, PERSONS, Person
from dev.providers.base import Account, Failure, Json, Persona, Provider

_ME = "/v1/nid/me"
_AUTHENTICATION_FAILED = {"resultcode": "024", "message": "Authentication failed (인증 실패하였습니다.)"}


def _persona(key: str, description: str, **fields: str | None) -> Persona:
    subject = "mR7x_" + Person(key, description).hexadecimal[:38]
    user = {"id": subject} | {name: value for name, value in fields.items() if value is not None}
    body = {"resultcode": "00", "message": "success", "response": user}
    return Persona(key, description, subject, api_responses={_ME: body})


def _persona_with_all_fields(person: Person) -> Persona:
    return _persona(
        person.key,
        person.description,
        nickname=person.nickname,
        name=person.name,
        email=person.email,
        profile_image="https://phinf.pstatic.net/contact/example/profile.png" if person.picture else None,
        gender="F",
        age="20-29",
        birthday="10-01",
        birthyear="1999",
        mobile="010-0000-0000",
    )


_PERSONAS = (
    *(_persona_with_all_fields(person) for person in PERSONS if person.key != "unverified"),
    _persona("naver-mail", "naver.com address", name=HANEUL.name, nickname="하늘", email="haneul@naver.com"),
    _persona("refused", "declined all consent items"),
)


def _validate_request(params: Mapping[str, str]) -> str | None:
    return None if params.get("state") else "`state` is required"


def _account(body: Json) -> Account:
    user = body["response"]
    return Account(user["id"], user.get("name"), user.get("nickname"), user.get("email"))


def _error(error: str, description: str) -> tuple[int, Json]:
    return 200, {"error": error, "error_description": description}


provider = Provider(
    id="naver",
    name="Naver",
    client_id="N4verDevelopment0001",
    personas=_PERSONAS,
    authorization_path="/oauth2.0/authorize",
    token_path="/oauth2.0/token",
    account=_account,
    user_urls=("https://openapi.naver.com/v1/nid/me",),
    id_token="never",
    pkce_required=False,
    validate_request=_validate_request,
    cancel_error={"error": "access_denied", "error_description": "Canceled By User"},
    token_methods=("GET", "POST"),
    required_token_parameters=("state",),
    token_response=lambda _: {"refresh_token": "c8ceMEjf-made-up", "token_type": "bearer", "expires_in": "3600"},
    errors={
        "invalid_client": _error("invalid_client", "wrong client id / client secret pair"),
        "invalid_grant": _error("invalid_request", "no valid data in session"),
        "redirect_uri_mismatch": _error("invalid_request", "no valid data in session"),
        "invalid_request": _error("invalid_request", "state is missing"),
        "unsupported_grant_type": _error("unsupported_grant_type", "wrong grant_type"),
        "invalid_token": (401, _AUTHENTICATION_FAILED),
    },
    failures={
        "refused_024": Failure("profile: resultcode 024 with status 200", "user", lambda _: _AUTHENTICATION_FAILED)
    },
)
