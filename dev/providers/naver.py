"""Naver, the classic system: no PKCE, answers in an envelope, errors with status 200."""

from collections.abc import Mapping

from dev.personas import EVERYBODY, HANEUL, Person
from dev.providers.base import Account, Failure, Json, Persona, Provider

_ME = "/v1/nid/me"
_REFUSED = {"resultcode": "024", "message": "Authentication failed (인증 실패하였습니다.)"}


def _persona(key: str, shows: str, **items: str | None) -> Persona:
    subject = "mR7x_" + Person(key, shows).hexadecimal[:38]
    known = {name: value for name, value in items.items() if value is not None}
    envelope = {"resultcode": "00", "message": "success", "response": {"id": subject} | known}
    return Persona(key, shows, subject, answers={_ME: envelope})


def _ordinary(person: Person) -> Persona:
    return _persona(
        person.key,
        person.shows,
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
    *(_ordinary(person) for person in EVERYBODY if person.key != "unverified"),
    _persona("naver-mail", "address at naver.com", name=HANEUL.name, nickname="하늘", email="haneul@naver.com"),
    _persona("refused", "unticked every item of consent"),
)


def _objection(wish: Mapping[str, str]) -> str | None:
    return None if wish.get("state") else "`state` is required"


def _taken(answer: Json) -> Account:
    person = answer["response"]
    return Account(person["id"], person.get("name"), person.get("nickname"), person.get("email"))


def _error(error: str, description: str) -> tuple[int, Json]:
    return 200, {"error": error, "error_description": description}


NAVER = Provider(
    id="naver",
    name="Naver",
    client_id="N4verDevelopment0001",
    personas=_PERSONAS,
    authorization_path="/oauth2.0/authorize",
    token_path="/oauth2.0/token",
    account=_taken,
    user_urls=("https://openapi.naver.com/v1/nid/me",),
    id_token="never",
    pkce_required=False,
    objection=_objection,
    cancelled={"error": "access_denied", "error_description": "Canceled By User"},
    token_methods=("GET", "POST"),
    token_needs=("state",),
    token_answer=lambda _: {"refresh_token": "c8ceMEjf-made-up", "token_type": "bearer", "expires_in": "3600"},
    errors={
        "invalid_client": _error("invalid_client", "wrong client id / client secret pair"),
        "invalid_grant": _error("invalid_request", "no valid data in session"),
        "redirect_uri_mismatch": _error("invalid_request", "no valid data in session"),
        "invalid_request": _error("invalid_request", "state is missing"),
        "unsupported_grant_type": _error("unsupported_grant_type", "wrong grant_type"),
        "invalid_token": (401, _REFUSED),
    },
    variants={"refused_024": Failure("profile: resultcode 024 with status 200", "user", lambda _: _REFUSED)},
)
