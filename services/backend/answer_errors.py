"""Finds out what an answer of the backend means, and which error to raise.

The statuses are documented in `docs/decisions/0005-what-a-backends-answer-means.md`.
"""

import re
from collections.abc import Iterable, Mapping

import errors
from backends.base import Backend, Call, FieldErrors, Meaning, Rule
from services.backend.answer import MISSING, Answer, find_joined
from services.backend.user import clean_text, without_bidi_controls
from services.http.response import parse_retry_after

DEFAULT_RETRY_AFTER = 60
"""Seconds to wait if the backend does not say how many."""
_MAX_MESSAGE = 200
"""Characters of the backend's message for a field; the rest is cut off. It has to fit below the field."""
_FORM_FIELDS = {"identifier": "email"}
"""Placeholder -> field of the site's form, where the two have different names."""
NO_FIELD = frozenset({"", "detail", "non_field_errors", "__all__"})
"""Keys under which frameworks report errors that belong to no field."""

_SIGN_IN = {
    Meaning.WRONG_CREDENTIALS: errors.CredentialsSignin,
    Meaning.LOCKED: errors.CredentialsSignin,  # a locked account looks like a wrong password
    Meaning.NOT_VERIFIED: errors.EmailNotVerified,
    Meaning.OTHER_WAY: errors.OAuthAccountNotLinked,
    Meaning.NEXT_STEP: errors.SecondFactorRequired,
}
_SOCIAL = {
    **_SIGN_IN,
    Meaning.WRONG_CREDENTIALS: errors.Callback,
    Meaning.LOCKED: errors.AccessDenied,
    Meaning.FIELDS_REQUIRED: errors.FieldsRequired,
}
_WITH_TOKEN = {
    Meaning.SESSION_OVER: errors.SessionExpired,
    Meaning.LOCKED: errors.SessionExpired,
    Meaning.NOT_VERIFIED: errors.EmailNotVerified,
    Meaning.NEXT_STEP: errors.SecondFactorRequired,
}
_NEXT_STEP = {
    **_SIGN_IN,
    Meaning.WRONG_CREDENTIALS: errors.WrongCode,
    Meaning.LOCKED: errors.WrongCode,
    Meaning.CODE_EXPIRED: errors.CodeExpired,
    Meaning.STEP_OVER: errors.AttemptExpired,
    Meaning.SESSION_OVER: errors.AttemptExpired,
}
_PASSKEY_CHANGE = {Meaning.SESSION_OVER: errors.SessionExpired, Meaning.SIGN_IN_AGAIN: errors.RecentSignInRequired}
_ERRORS: Mapping[str, Mapping[Meaning, type[errors.SiteError]]] = {
    "login": _SIGN_IN,
    "social": _SOCIAL,
    "social_register": {
        **_SOCIAL,
        Meaning.WRONG_CREDENTIALS: errors.AttemptExpired,
        Meaning.CLOSED: errors.SignUpClosed,
        Meaning.STEP_OVER: errors.AttemptExpired,
    },
    "user": _WITH_TOKEN,
    "profile": _WITH_TOKEN,
    "refresh": {**_WITH_TOKEN, Meaning.WRONG_CREDENTIALS: errors.SessionExpired},
    "logout": {Meaning.SESSION_OVER: errors.SessionExpired},
    "verify": _NEXT_STEP,
    "verify_recovery_code": _NEXT_STEP,
    "resend": {**_NEXT_STEP, Meaning.WRONG_CREDENTIALS: errors.AttemptExpired},
    "register": {
        Meaning.TAKEN: errors.AccountExists,
        Meaning.WEAK_PASSWORD: errors.WeakPassword,
        Meaning.CLOSED: errors.SignUpClosed,
        Meaning.NOT_VERIFIED: errors.EmailNotVerified,
        Meaning.NEXT_STEP: errors.SecondFactorRequired,
    },
    "forgot": {},
    "reset": {Meaning.INVALID_CODE: errors.InvalidCode, Meaning.WEAK_PASSWORD: errors.WeakPassword},
    "verify_email": {Meaning.INVALID_CODE: errors.InvalidCode},
    "resend_verification": {},
    "link": {
        Meaning.OTHER_WAY: errors.LinkedElsewhere,
        Meaning.WRONG_CREDENTIALS: errors.LinkRefused,
        Meaning.SESSION_OVER: errors.SessionExpired,
    },
    "unlink": {Meaning.LAST_WAY: errors.LastSignInMethod, Meaning.SESSION_OVER: errors.SessionExpired},
    "links": {Meaning.SESSION_OVER: errors.SessionExpired},
    "change_password": {
        Meaning.WRONG_CREDENTIALS: errors.WrongPassword,
        Meaning.WEAK_PASSWORD: errors.WeakPassword,
        Meaning.SESSION_OVER: errors.SessionExpired,
    },
    "passkey_options": {},
    "passkey": {
        **_SIGN_IN,
        Meaning.WRONG_CREDENTIALS: errors.PasskeyRejected,
        Meaning.LOCKED: errors.PasskeyRejected,
        Meaning.INVALID_CODE: errors.PasskeyRejected,
        Meaning.CODE_EXPIRED: errors.AttemptExpired,
        Meaning.STEP_OVER: errors.AttemptExpired,
        Meaning.SESSION_OVER: errors.AttemptExpired,
    },
    "confirm_password": {
        **_PASSKEY_CHANGE,
        Meaning.WRONG_CREDENTIALS: errors.WrongPassword,
        Meaning.LOCKED: errors.WrongPassword,
    },
    "passkey_register_options": _PASSKEY_CHANGE,
    "passkey_register": {
        **_PASSKEY_CHANGE,
        Meaning.WRONG_CREDENTIALS: errors.PasskeyNotAdded,
        Meaning.INVALID_CODE: errors.PasskeyNotAdded,
        Meaning.TAKEN: errors.PasskeyNotAdded,
        Meaning.CODE_EXPIRED: errors.PasskeyNotAdded,
        Meaning.STEP_OVER: errors.PasskeyNotAdded,
    },
    "passkey_list": {Meaning.SESSION_OVER: errors.SessionExpired},
    "passkey_remove": {**_PASSKEY_CHANGE, Meaning.LAST_WAY: errors.LastPasskey},
    "provider_event": {},
}
"""Call -> meaning -> error. A meaning that is not listed for a call is ignored in its answers."""
_FIELD_STATUSES = (400, 422)
"""Statuses of answers that can have messages for fields, in addition to that of the backend's `field_errors`."""
_ANY_CALL = frozenset({Meaning.THROTTLED, Meaning.INVALID_FIELDS, Meaning.CONFIGURATION, Meaning.UNAVAILABLE})

_WRONG = Meaning.WRONG_CREDENTIALS
_COMMON = {403: Meaning.NOT_VERIFIED, 409: Meaning.OTHER_WAY}
_STEP_STATUSES: Mapping[int, Meaning] = {
    **dict.fromkeys((400, 401, 422), _WRONG),
    **dict.fromkeys((404, 409, 410, 419), Meaning.STEP_OVER),
    403: Meaning.NOT_VERIFIED,
    423: Meaning.LOCKED,
}
_STATUSES: Mapping[str, Mapping[int, Meaning]] = {
    "login": {**dict.fromkeys((400, 401, 404, 410, 422), _WRONG), 423: Meaning.LOCKED, **_COMMON},
    # 500: Laravel's answer to a token that the provider rejects
    "social": {**dict.fromkeys((400, 401, 422, 500), _WRONG), 410: Meaning.LOCKED, 423: Meaning.LOCKED, **_COMMON},
    "social_register": {
        **dict.fromkeys((401, 404, 410, 419), Meaning.STEP_OVER),
        **dict.fromkeys((400, 422), Meaning.INVALID_FIELDS),
        423: Meaning.LOCKED,
        **_COMMON,
    },
    "user": {401: Meaning.SESSION_OVER, 403: Meaning.NOT_VERIFIED},
    "profile": {401: Meaning.SESSION_OVER},
    "refresh": dict.fromkeys((400, 401, 403), Meaning.SESSION_OVER),
    "logout": {},
    "verify": _STEP_STATUSES,
    "verify_recovery_code": _STEP_STATUSES,
    "resend": _STEP_STATUSES,
    "register": {403: Meaning.CLOSED, 409: Meaning.TAKEN},
    "forgot": {},
    "reset": dict.fromkeys((400, 401, 403, 404, 410, 422), Meaning.INVALID_CODE),
    "verify_email": dict.fromkeys((400, 401, 403, 404, 409, 410, 422), Meaning.INVALID_CODE),
    "resend_verification": {},
    "link": {**dict.fromkeys((400, 403, 422), _WRONG), 401: Meaning.SESSION_OVER, 409: Meaning.OTHER_WAY},
    "unlink": {**dict.fromkeys((400, 403, 409, 422), Meaning.LAST_WAY), 401: Meaning.SESSION_OVER},
    "links": {401: Meaning.SESSION_OVER},
    "change_password": {401: Meaning.SESSION_OVER, 400: _WRONG, 403: _WRONG, 422: _WRONG},
    "passkey_options": {},
    "passkey": {**dict.fromkeys((400, 401, 404, 422), _WRONG), 410: Meaning.STEP_OVER, 423: Meaning.LOCKED, **_COMMON},
    "confirm_password": {401: Meaning.SESSION_OVER, **dict.fromkeys((400, 403, 422), _WRONG), 423: Meaning.LOCKED},
    "passkey_register_options": {401: Meaning.SESSION_OVER, 403: Meaning.SIGN_IN_AGAIN},
    "passkey_register": {
        401: Meaning.SESSION_OVER,
        403: Meaning.SIGN_IN_AGAIN,
        **dict.fromkeys((400, 409, 410, 422), _WRONG),
    },
    "passkey_list": {401: Meaning.SESSION_OVER},
    "passkey_remove": {
        401: Meaning.SESSION_OVER,
        403: Meaning.SIGN_IN_AGAIN,
        **dict.fromkeys((400, 409, 422), Meaning.LAST_WAY),
    },
    "provider_event": {401: Meaning.CONFIGURATION, 403: Meaning.CONFIGURATION},
}
_COMMON_RULES = tuple(
    Rule(status, "error", code, Meaning.CONFIGURATION)  # RFC 6749, 5.2: the site's registration is wrong
    for status in (400, 401)
    for code in ("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope")
)
_NO_TOKEN_RULES = tuple(
    rule
    for status in (200, 201)
    for rule in (
        Rule(status, "two_factor", value=True, meaning=Meaning.NEXT_STEP),
        Rule(status, "success", value=False, meaning=_WRONG),
    )
)


def declared_meaning(backend: Backend, call: str, answer: Answer) -> Meaning | None:
    """The meaning of an answer by the backend's own description or by a rule for all backends; None if none fits.

    Raises an error if the answer is not the backend's own: such an answer says nothing about the person.

    Bot protections, firewalls, proxies and web servers answer with HTML or without a body, with statuses that a
    backend uses for people: 403, 404, 429. An empty 401 counts: Spring's filters answer a wrong password with it.
    """
    if answer.response.protection or answer.response.is_html:
        raise _backend_error(backend, answer, _reason(call, answer))
    meaning = backend.classify(answer)
    if meaning is not None and _applies(call, meaning):
        return meaning
    meaning = _first_match((*backend.meanings, *_COMMON_RULES), call, answer)
    is_text = 200 <= answer.status < 300 or answer.status in (401, 429)
    if meaning is None and not is_text and answer.response.json() is None:
        raise _backend_error(backend, answer, _reason(call, answer))
    return meaning


def sign_in_error(backend: Backend, call: str, answer: Answer, meaning: Meaning | None = None) -> errors.SiteError:
    """The error of an answer to `login`, `social`, `verify` or `verify_recovery_code` that has no token.

    Everything that may mean "unknown account" or "wrong password" is one error: the page must not reveal which.
    """
    meaning = meaning or _first_match(_NO_TOKEN_RULES, call, answer)
    if meaning is None and call in ("login", "social") and answer.status == backend.field_errors.status:
        error = _login_fields_error(backend, answer) if call == "login" else _social_fields_error(backend, answer)
        if error:
            return error
    return call_error(backend, call, answer, meaning)


def call_error(backend: Backend, call: str, answer: Answer, meaning: Meaning | None = None) -> errors.SiteError:
    """The error of an answer with this meaning; by default, with the meaning of its status."""
    reason = _reason(call, answer)
    meaning = meaning or _STATUSES[call].get(answer.status)
    match meaning:
        case Meaning.THROTTLED:
            return errors.TooManyAttempts(reason, retry_after=_retry_after(backend, answer))
        case Meaning.INVALID_FIELDS:
            return errors.InvalidFields(_field_messages(backend, call, answer), reason)
        case Meaning.CONFIGURATION:
            return errors.Configuration(f"{reason}: check the settings of the backend")
        case Meaning.UNAVAILABLE:
            return errors.BackendUnavailable(reason)
        case None:
            return _backend_error(backend, answer, reason)
        case _:
            return _ERRORS[call][meaning](reason)


def may_be_refusal(backend: Backend, answer: Answer) -> bool:
    """Whether an error of `refresh` may be about the person, whose account was deleted, for example.

    False if something in front of the backend has answered, if the backend is overloaded or in maintenance, or if the
    site's settings are wrong.
    """
    response = answer.response
    if response.protection or answer.status in (429, 502, 503, 504):
        return False
    if answer.status == 500:  # of a framework, often a page of HTML
        return True
    if response.is_html or response.json() is None:
        return False
    meaning = declared_meaning(backend, "refresh", answer)
    return meaning not in (Meaning.THROTTLED, Meaning.CONFIGURATION, Meaning.UNAVAILABLE)


def check_profile(backend: Backend, answer: Answer) -> None:
    """Raise an error if an answer to `profile` means that nothing was saved."""
    meaning = declared_meaning(backend, "profile", answer)
    if meaning is None and answer.status == backend.field_errors.status:
        meaning = Meaning.INVALID_FIELDS
    if meaning is not None or not 200 <= answer.status < 300:
        raise call_error(backend, "profile", answer, meaning)


def check_resend(backend: Backend, answer: Answer) -> None:
    """Raise an error if an answer to `resend` means that no code was sent."""
    meaning = declared_meaning(backend, "resend", answer)
    if meaning not in (None, Meaning.NEXT_STEP) or (meaning is None and not 200 <= answer.status < 300):
        raise call_error(backend, "resend", answer, meaning)


def check_logout(backend: Backend, answer: Answer) -> None:
    """Raise an error if the token may still be accepted after this answer to `logout`."""
    is_done = 200 <= answer.status < 300 or answer.status in backend.logout_done
    is_done = is_done or _first_match(backend.meanings, "logout", answer) is Meaning.SESSION_OVER
    if not is_done or answer.response.is_html or answer.response.protection:
        raise call_error(backend, "logout", answer)


def _field_messages(backend: Backend, call: str, answer: Answer) -> dict[str, str]:
    """The backend's message for each field of the form that this call sends, bounded."""
    messages = field_errors(backend, answer)
    fields = form_fields(getattr(backend, call)).items()
    clean_messages = {field: clean_message(messages.get(key)) for key, field in fields}
    return {field: message for field, message in clean_messages.items() if message}


def clean_message(value: object) -> str | None:
    """A message of the backend for a field, cut to its maximum length; None if it is empty or not text."""
    text = clean_text(value, _MAX_MESSAGE)
    return without_bidi_controls(text) if text else None


def refusal_message(backend: Backend, answer: Answer, error: errors.SiteError, secret: str) -> str | None:
    """The backend's own sentence for a refused sign-in; None if there is none that can be shown.

    Errors for the operator and messages about the next step keep the site's text. A code such as `BAD_LOGIN` is not a
    sentence. secret: a value that was sent to the backend and must not be shown.
    """
    if not isinstance(error, errors.Rejected) or isinstance(error, errors.InvalidFields | errors.SecondFactorRequired):
        return None
    value = answer.get(backend.message)
    text = clean_text(value, _MAX_MESSAGE)
    is_sentence = text is not None and re.search(r"\s|[^\x00-\x7f]", text)
    if text is None or not is_sentence or secret in text or secret in str(value):
        return None
    return without_bidi_controls(text)


def _first_match(rules: Iterable[Rule], call: str, answer: Answer) -> Meaning | None:
    candidates = [rule for rule in rules if rule.status == answer.status and _applies(call, rule.meaning)]
    return next((rule.meaning for rule in candidates if _fits(rule, answer)), None)


def _applies(call: str, meaning: Meaning) -> bool:
    return meaning in _ANY_CALL or meaning in _ERRORS[call]


def _fits(rule: Rule, answer: Answer) -> bool:
    """Whether an answer with the status of the rule has its value."""
    if rule.place == "*":
        return True
    value = answer.find(rule.place)
    if rule.value is None:
        return value is None
    if rule.value is ...:
        return value is not MISSING and value not in (None, "")
    text = _text(value)
    patterns = map(_text, rule.value if isinstance(rule.value, tuple) else (rule.value,))
    return text is not None and any(_matches(pattern, text) for pattern in patterns if pattern is not None)


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _text(value: object) -> str | None:
    """A JSON string, number or boolean as text; None for other values."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def has_fields_error(backend: Backend, answer: Answer, meaning: Meaning | None) -> bool:
    """Whether an answer with this declared meaning can have messages for fields of a form."""
    statuses = (*_FIELD_STATUSES, backend.field_errors.status)
    return meaning in (None, Meaning.INVALID_FIELDS) and answer.status in statuses


def fields_error(
    backend: Backend, call: str, answer: Answer, further: Mapping[str, str]
) -> errors.InvalidFields | errors.Configuration | None:
    """The error if an answer has messages for fields of the form; None if it has none.

    A sign-up with messages for fields that the form does not have is a configuration error.

    further: the backend's name of a field in `REGISTER_FIELDS` -> its name in the form.
    """
    messages = field_errors(backend, answer)
    fields = {**form_fields(backend.calls[call]), **further}
    shown = {
        fields[key]: text for key, message in messages.items() if key in fields and (text := clean_message(message))
    }
    if shown:
        return errors.InvalidFields(shown, f"the {call} path answered {answer.status}")
    unknown = [key for key in set(messages) - set(fields) - NO_FIELD if key.isidentifier()]
    return unknown_fields(call, unknown) if unknown and "register" in call else None


def unknown_fields(call: str, names: Iterable[object]) -> errors.Configuration:
    """The error if the backend requires fields that the form does not have."""
    texts = sorted(filter(None, map(clean_text, names)))
    return errors.Configuration(
        f"the {call} path wants fields that are not sent; REGISTER_FIELDS: {', '.join(texts)[:200]}"
    )


def _login_fields_error(backend: Backend, answer: Answer) -> errors.SiteError | None:
    """Messages for one of the two fields mean wrong credentials, as in Laravel; for both, invalid input."""
    fields = set(field_errors(backend, answer)) - NO_FIELD
    login_fields = set(form_fields(backend.login))
    if fields and fields == login_fields:
        return errors.InvalidFields(_field_messages(backend, "login", answer))
    if unknown := {name for name in fields - login_fields if not re.search(r"\s", name)}:  # not "email or password"
        names = ", ".join(sorted(filter(None, map(clean_text, unknown))))
        return errors.Configuration(f"the login path wants fields that this site does not send: {names[:200]}")
    return None


def _social_fields_error(backend: Backend, answer: Answer) -> errors.SiteError | None:
    if field_errors(backend, answer).get("email") is not None:
        return errors.EmailMissing(_reason("social", answer))
    return None


def field_errors(backend: Backend, answer: Answer) -> dict[str, object]:
    """Field -> its first message, not cleaned yet."""
    place = backend.field_errors
    value = answer.get(place.place)
    if place.place == "body" and isinstance(value, dict):  # other keys of the answer are not fields
        value = {name: messages for name, messages in value.items() if isinstance(messages, list)}
    if isinstance(value, dict):
        return {name: _message(place, _first(message)) for name, message in value.items()}
    messages: dict[str, object] = {}
    for item in value if isinstance(value, list) else ():
        name = find_joined(item, place.name)
        name = name[-1] if isinstance(name, list) and name else name  # FastAPI: ["body", "email"]
        if isinstance(name, str):
            messages.setdefault(name, find_joined(item, place.message))
    return messages


def _message(place: FieldErrors, message: object) -> object:
    return find_joined(message, place.message) if isinstance(message, dict) else message


def _first(message: object) -> object:
    return message[0] if isinstance(message, list) and message else message


def form_fields(call: Call | None) -> dict[str, str]:
    """Key of the call's body -> field of the form that fills it."""
    fields: dict[str, str] = {}
    for key, template in (call.body or {}).items() if call else ():
        if isinstance(template, dict):
            fields |= form_fields(Call("", None, template))
        elif isinstance(template, str) and (match := re.fullmatch(r"\{([a-z_]+)\}", template)):
            fields[key] = _FORM_FIELDS.get(match[1], match[1])
    return fields


def _backend_error(backend: Backend, answer: Answer, reason: str) -> errors.SiteError:
    """The error of a status that says nothing about the person, but about the backend or its settings."""
    response = answer.response
    if response.protection:
        return errors.Configuration(f"{reason}: let this site's requests pass")
    match answer.status:
        case 429 if not response.is_html:
            return errors.TooManyAttempts(reason, retry_after=_retry_after(backend, answer))
        case 429 | 503:  # HTML with 429: a proxy limits this site, not this person
            return errors.BackendUnavailable(reason, status=503, retry_after=_retry_after(backend, answer))
        case status if 400 <= status < 500 and status not in (408, 413):
            return errors.Configuration(f"{reason}: check BACKEND_URL and the paths below it")
        case status if 300 <= status < 400:
            return errors.BackendUnavailable(f"{reason}, a redirect: check BACKEND_URL")
        case _:
            return errors.BackendUnavailable(f"{reason}: check BACKEND_URL" if response.is_html else reason)


def _reason(call: str, answer: Answer) -> str:
    return f"the {call} path answered {answer.status}{answer.response.kind}"


def _retry_after(backend: Backend, answer: Answer) -> int:
    return retry_after(backend, answer) or DEFAULT_RETRY_AFTER


def retry_after(backend: Backend, answer: Answer) -> int | None:
    """Seconds that an answer tells to wait; None if it does not."""
    return parse_retry_after(str(answer.get(backend.retry_after)))
