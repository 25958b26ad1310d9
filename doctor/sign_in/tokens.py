"""Where the answer to a login or a refresh has the tokens, and when they expire. Judged by names and by form."""

from doctor.sign_in.answers import Value, is_jwt, is_token, values_of
from services.backend.answer import Answer
from services.backend.tokens import jwt_expiry

_ACCESS_NAMES = (
    "accesstoken", "accessjwt", "access", "plaintexttoken", "jwttoken", "jwt", "authtoken", "token", "bearertoken",
    "sessiontoken", "apitoken", "xaccesstoken", "xauthtoken", "authenticationtoken", "authorization", "idtoken",
    "authkey", "key", "auth", "sessionid", "sid", "session",
)  # fmt: skip
_NOT_TOKENS = ("csrf", "xsrf", "refresh", "renew", "nonce", "expir", "type", "url", "image", "avatar", "push", "device")
_MIN_UNNAMED = 24
"""Characters of a response header that may be a token although its name does not say so."""
_EXPIRY_NAMES = ("expire", "ttl", "lifetime", "validity")
_MIN_TIME = 10**9
"""A larger number is a time: it was 2001 in seconds since 1970."""
_MAX_SECONDS = 366 * 86400
"""A larger number that is no time is a duration in milliseconds."""


def access_token(answer: Answer) -> str | None:
    """The place of the access token; None if the answer has none."""
    best = max(((_token_score(value), value.place) for value in values_of(answer)), default=(0, ""))
    return best[1] if best[0] > 0 else None


def _token_score(value: Value) -> int:
    if not is_token(value.value) or any(word in name for name in value.names for word in _NOT_TOKENS):
        return 0
    if value.name in _ACCESS_NAMES:
        score = 100 - _ACCESS_NAMES.index(value.name)
    elif value.name.endswith(("token", "jwt")) or value.place == "body":
        score = 60
    elif any(name in _ACCESS_NAMES or name == "tokens" for name in value.names) or is_jwt(value.value):
        score = 50
    elif value.is_header_or_cookie and any(word in value.name for word in ("auth", "token", "jwt", "session")):
        score = 40
    elif value.place.startswith("header:") and len(str(value.value)) >= _MIN_UNNAMED:
        score = 20
    else:
        return 0
    weak = len(str(value.value)) < 16 and value.name not in _ACCESS_NAMES[:8]
    return score + 10 * is_jwt(value.value) - 30 * value.place.startswith("cookie:") - 100 * weak


def refresh_token(answer: Answer) -> str | None:
    """The place of the refresh token; None if the answer has none."""
    for value in values_of(answer):
        is_named = any("refresh" in name or "renew" in name for name in value.names)
        if is_named and is_token(value.value) and not any(word in value.name for word in ("expir", "type", "url")):
            return value.place
    return None


def expiry(answer: Answer, access: object) -> str | None:
    """The setting that says when the token expires; None if the token itself does, or nothing."""
    if jwt_expiry(str(access)):
        return None
    return next((f"{value.place}:{unit}" for value in values_of(answer) if (unit := _expiry_unit(value))), None)


def _expiry_unit(value: Value) -> str | None:
    """`s` or `ms` for a duration, `at` for a time; None if the value says nothing about the expiry."""
    is_named = value.name in ("exp", "expires") or any(word in value.name for word in _EXPIRY_NAMES)
    if not is_named or any("refresh" in name for name in value.names) or isinstance(value.value, bool):
        return None
    if isinstance(value.value, str) and "-" in value.value[1:] and ":" in value.value:
        return "at"
    if not isinstance(value.value, int | float) or value.value <= 0:
        return None
    if value.value > _MIN_TIME:
        return "at"
    return "ms" if value.name.endswith("ms") or value.value > _MAX_SECONDS else "s"
