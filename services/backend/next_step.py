"""Reads the next step of a sign-in from an answer, at the places that `NextStep` in `backends/base.py` names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import errors
import settings_readers as read
from backends.base import METHOD_NAMES, Backend, Call, Method, placeholders_of
from services.backend import answer_errors
from services.backend.answer import Answer
from services.backend.user import clean_text, without_bidi_controls
from services.http.response import parse_retry_after

MAX_CHALLENGE = 2500
"""Characters of the backend's challenge. The cookie that contains it has less than 4096 bytes."""
_MAX_SENT_TO = 100
"""Characters of a masked address or telephone number; the rest is cut off."""
_MAX_METHODS = 10
"""Methods to choose from. A page with more would not help."""
DEFAULT_RESEND_SECONDS = 30
"""Seconds until a code can be sent again, if the backend does not say: long enough for an SMS to arrive."""
MAX_RESEND_SECONDS = 600
"""A sign-in is pending for ten minutes."""
_NAME = re.compile(r"[\w\-.:/+= ]{1,200}", re.ASCII)
RECOVERY = "recovery"
"""The name of the method that is offered if the backend has a call for it."""


@dataclass(frozen=True)
class Step:
    methods: Mapping[str, Method]
    """The backend's name of a method -> its kind. The first one is used unless the person chooses another."""
    challenge: str | None = field(default=None, repr=False)
    ticket: str | None = field(default=None, repr=False)
    sent_to: str | None = None
    resend_after: int | None = None
    url: str | None = None
    """The page that the person has to visit; None if a code or fields are required."""
    fields: tuple[str, ...] = ()
    """The form's names of the fields that a new account needs."""


def read_step(backend: Backend, answer: Answer, origins: tuple[str, ...], last_step: Step | None = None) -> Step | None:
    """The next step of an answer that means `next_step`; None if this site has no page for it.

    origins: to which a person may be sent. Raises `Configuration` for another address.
    last_step: the one before it in the same sign-in, whose challenge may stay the same.
    """
    places = backend.next_step
    challenge = _text(answer, places.challenge, MAX_CHALLENGE) or (last_step.challenge if last_step else None)
    if backend.verify is None or (places.challenge and challenge is None):
        return None
    url = _text(answer, places.url, MAX_CHALLENGE)
    if url and not _is_allowed(url, origins):
        raise errors.Configuration("the next step leads to an address whose origin is not in BACKEND_NEXT_STEP_URLS")
    methods = {} if url else _methods(backend, answer)
    if not methods and not url:
        return None
    return Step(methods, challenge, None, _sent_to(answer, places.sent_to), _seconds(answer, places.resend_after), url)


def read_sign_up(
    backend: Backend, answer: Answer, form_fields: Mapping[str, str], last_step: Step | None = None
) -> Step | None:
    """The step of an answer that requires fields for a new account; None if this site cannot ask for them.

    form_fields: the backend's name of a field -> its name in the form.
    last_step: the one before it in the same sign-in. Its fields are sent again.
    Raises `Configuration` if the backend wants fields that the form cannot have.
    """
    call, places = backend.calls.get("social_register"), backend.next_step
    if call is None:
        return None
    challenge = _text(answer, places.challenge, MAX_CHALLENGE) or (last_step.challenge if last_step else None)
    if challenge is None and "challenge" in placeholders_of(call):
        return None
    value = answer.get(places.fields) if places.fields else None
    names = value if isinstance(value, list) else [*answer_errors.field_errors(backend, answer)]
    if unknown := [name for name in names if not isinstance(name, str) or name not in form_fields]:
        raise answer_errors.unknown_fields("social", unknown)
    fields = dict.fromkeys([*(last_step.fields if last_step else ()), *(form_fields[name] for name in names)])
    return Step({}, challenge, fields=tuple(fields)) if fields else None


def after_resend(backend: Backend, answer: Answer, step: Step) -> Step:
    """The step after a code was sent, with the values of the answer."""
    places = backend.next_step
    return replace(
        step,
        challenge=_text(answer, places.challenge, MAX_CHALLENGE) or step.challenge,
        ticket=_text(answer, places.ticket, MAX_CHALLENGE) or step.ticket,
        sent_to=_sent_to(answer, places.sent_to) or step.sent_to,
        resend_after=_seconds(answer, places.resend_after) or step.resend_after,
    )


def trust_token(backend: Backend, answer: Answer) -> str | None:
    """The token for a browser that the backend trusts from now on; None without one."""
    return _text(answer, backend.next_step.trust_token, MAX_CHALLENGE)


def call_of(backend: Backend, step: Step, method: str) -> tuple[str, Call | None]:
    """The name of the call that sends a code of this method, and the call."""
    if step.methods.get(method) is Method.RECOVERY and backend.verify_recovery_code:
        return "verify_recovery_code", backend.verify_recovery_code
    return "verify", backend.next_step.calls.get(method) or backend.verify


def _methods(backend: Backend, answer: Answer) -> dict[str, Method]:
    places = backend.next_step
    if places.read_methods:
        methods = dict(places.read_methods(answer))
    else:
        value = answer.get(places.methods) if places.methods else None
        names = value if isinstance(value, list) else [value]
        texts = [name for name in names if isinstance(name, str)]
        methods = {name: METHOD_NAMES[name] for name in texts if name in METHOD_NAMES}
        if not texts:
            methods = {places.default_method.value: places.default_method}
    methods = {name: method for name, method in methods.items() if _NAME.fullmatch(name)}
    if methods and backend.verify_recovery_code and Method.RECOVERY not in methods.values():
        methods[RECOVERY] = Method.RECOVERY
    return dict(list(methods.items())[:_MAX_METHODS])


def _is_allowed(url: str, origins: tuple[str, ...]) -> bool:
    """Whether a person may be sent to this address: it has to be ASCII, and at one of these origins."""
    if not re.fullmatch(r"https?://[!-~]+", url) or re.search(r"[\\\"'<>@]", url.partition("?")[0]):
        return False
    try:
        parts = urlsplit(url)
        return read.origin(f"{parts.scheme}://{parts.netloc}") in origins
    except ValueError:
        return False


def _text(answer: Answer, place: str, longest: int) -> str | None:
    value = answer.get(place) if place else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= longest else None


def _sent_to(answer: Answer, place: str) -> str | None:
    text = clean_text(answer.get(place), _MAX_SENT_TO) if place else None
    return without_bidi_controls(text) if text else None


def _seconds(answer: Answer, place: str) -> int | None:
    value = answer.get(place) if place else None
    if value is None or isinstance(value, bool | list | dict):
        return None
    seconds = parse_retry_after(str(value))
    return None if seconds is None else min(seconds, MAX_RESEND_SECONDS)
