"""Reads tokens and users from the answers of a backend, at the places that its file of `backends/` names."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import errors
from backends.base import Backend
from services.backend.answer import Answer, find_joined
from services.backend.answer_errors import call_error, declared_meaning, sign_in_error
from services.backend.tokens import Tokens, jwt_expiry, parse_expiry, refresh_time
from services.backend.user import User
from services.backend.user_claims import read_claims
from services.bearer_token import validate_token
from settings_readers import UserClaim

log = logging.getLogger("munjigi.backend")


@dataclass(frozen=True)
class Login:
    """The answer to a sign-in that has a valid token."""

    tokens: Tokens
    answer: Answer
    trust_token: str | None = None
    """A token with which this browser needs no second factor from now on."""


_SUCCESS = (200, 201)
"""Statuses of an answer that can have tokens or a user."""


def tokens(backend: Backend, call: str, answer: Answer, now: float) -> Tokens:
    """The tokens of an answer to `login`, `social` or `refresh`; raises a `SiteError` if it has none.

    now: seconds since 1970, from which a duration until they expire counts.
    """
    meaning = declared_meaning(backend, call, answer)
    if meaning is None and answer.status in _SUCCESS and (access := _valid_token(answer.get(backend.token))):
        return _tokens(backend, answer, access, now)
    error_of = call_error if call == "refresh" else sign_in_error
    raise error_of(backend, call, answer, meaning)


def login(backend: Backend, answer: Answer, now: float) -> Login | None:
    """The tokens of a successful answer; None if it has no valid token."""
    access = _valid_token(answer.get(backend.token)) if backend.token else None
    if access is None:
        return None
    return Login(_tokens(backend, answer, access, now), answer)


def _tokens(backend: Backend, answer: Answer, access_token: str, now: float) -> Tokens:
    expires_at = _expiry(backend.expires, answer, access_token, now)
    refresh_token = _refresh_token(backend, answer)
    refresh_expires_at = _expiry(backend.refresh_expires, answer, refresh_token, now)
    return Tokens(access_token, refresh_token, expires_at, refresh_time(expires_at, now), refresh_expires_at)


def user(backend: Backend, call: str, answer: Answer, claims: Iterable[UserClaim] = ()) -> User:
    """The user of an answer to `user`, `profile` or `login`; raises a `SiteError` if it has none.

    claims: the further fields to take from the place of the user.
    """
    meaning = declared_meaning(backend, call, answer)
    if meaning is not None or answer.status not in _SUCCESS:
        raise call_error(backend, call, answer, meaning)
    try:
        data = answer.get(backend.user_at)
        if backend.read_user:
            fields = backend.read_user(answer)
        else:
            fields = {field: find_joined(data, places) for field, places in backend.user_fields.items()}
        return replace(User.from_json(fields), claims=read_claims(data, claims))
    except ValueError as error:
        reason = f"the {call} path answered {answer.status}{answer.response.kind}"
        raise errors.BackendUnavailable(f"{reason}: {error}") from None


def user_if_any(backend: Backend, answer: Answer) -> User | None:
    """The user of a successful answer; None if it has none."""
    try:
        return user(backend, "user", answer)
    except errors.SiteError:
        return None


def has_user(backend: Backend, answer: Answer) -> bool:
    """Whether an answer has a user."""
    data = answer.get(backend.user_at)
    return find_joined(data, backend.user_fields["id"]) is not None if backend.user_at == "body" else data is not None


def _refresh_token(backend: Backend, answer: Answer) -> str | None:
    value = answer.get(backend.refresh_token) if backend.refresh_token else None
    token = _valid_token(value)
    if value and token is None:
        log.warning("refresh token not used: it has characters other than visible ASCII")
    return token


def _valid_token(value: object) -> str | None:
    try:
        return validate_token(value)
    except ValueError:
        return None


def _expiry(place_and_unit: str, answer: Answer, token: str | None, now: float) -> int | None:
    """When a token of this answer expires. A time in the past is ignored: the clock of the backend is wrong."""
    place, _, unit = place_and_unit.rpartition(":")
    expires_at = parse_expiry(answer.get(place), unit, now) if place else None
    if expires_at is None and token:
        expires_at = jwt_expiry(token, now)
    return expires_at if expires_at is not None and expires_at > now else None
