"""Learns how the token is sent, which call returns the user, and the places of the user's fields in its answer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import backends
import providers
from backends.base import placeholders
from backends.overrides import user_fields
from doctor.sign_in.answers import Value, leaves, objects, plain, printable, signature
from doctor.sign_in.connection import StoppedError, is_missing
from doctor.sign_in.learning import Learning, lines_of
from services.backend import results
from services.backend.answer import Answer
from services.backend.user import User

_SUFFIXES = (
    "me", "users/me", "user", "auth/me", "members/me", "member/me", "user/me", "profile", "auth/profile", "account",
    "account/me", "accounts/me", "auth/user", "users/profile", "user/profile", "userinfo", "whoami", "session",
    "members/profile", "mypage", "user/info", "users/info", "member/info", "current-user", "users/current",
    "my", "my-info", "myinfo", "info", "members/info", "members/my", "users/my", "me/profile", "users/me/profile",
    "account/profile",
)  # fmt: skip
_USER_PATH = re.compile(r"/(me|user|profile|account|userinfo|whoami|current|mypage|self|info)\b", re.IGNORECASE)
_IDS = (
    "id", "userid", "memberid", "sub", "pk", "uid", "uuid", "objectid", "accountid", "userno", "memberno", "userseq",
    "memberseq", "customerid", "no", "seq", "userpk", "memberpk", "useridx", "idx", "guid", "memno",
    "memseq", "mbrno",
)  # fmt: skip
_CERTAIN_IDS = 8
"""The first names of the list are certain."""
_FULL_NAMES = ("name", "fullname", "displayname", "realname", "membername", "memnm", "usernm", "mbrnm", "custnm")
_USER_NAMES = ("username", "preferredusername", "loginid")
_NICK_NAMES = ("nickname", "nick", "alias", "screenname", "handle")
_EMAILS = ("email", "emailaddress", "useremail", "memberemail", "mail", "loginemail", "emailaddr", "mailaddr")
_OTHERS = ("provider", "social", "team", "role", "group", "organization", "tenant", "device", "session")
"""Words in the names of ids that are not those of the user."""
_USER_KEYS = ("user", "member", "account", "profile", "customer", "me", "userinfo")
_MAX_UNREAD = 3
"""Answers without a user whose keys are printed."""
_BEARER = "Authorization: Bearer {token}"
_DEFAULTS = {"id": "id", "name": "name", "nick_name": "nick_name", "email": "email"}


@dataclass(frozen=True)
class UserPlace:
    at: str
    """The setting `BACKEND_USER_AT`."""
    fields: dict[str, str]
    """The setting `BACKEND_USER_FIELDS`."""
    has_identifier: bool
    """Whether one of its values is the identifier of the account."""
    warnings: tuple[str, ...] = ()
    """Guesses that the operator has to check."""

    @property
    def settings(self) -> dict[str, str]:
        fields = {name: place for name, place in self.fields.items() if place != _DEFAULTS[name]}
        text = " ".join(f"{name}={place}" for name, place in fields.items())
        at = {} if self.at == "body" else {"BACKEND_USER_AT": self.at}
        return at | ({"BACKEND_USER_FIELDS": text} if text else {})


class _UserCall(NamedTuple):
    """A call that returns a user."""

    line: str
    header: str
    answer: Answer
    place: UserPlace


class _Search(NamedTuple):
    user_call: _UserCall | None
    refusing: list[str]
    """The calls that may require another header."""
    unread: list[tuple[str, Answer]]
    """The calls in whose answers no user was found: those that the operator has named, and those with JSON."""


def learn_user(learning: Learning, login: Answer) -> Answer | None:
    """Learn the user call, or that the login's answer has the user. Returns the answer of the call, None without one.

    Raises `StoppedError`.
    """
    learning.report.heading("Looking for the user")
    token = str(login.get(learning.token_place))
    usual, *others = _token_headers(learning)
    user_call, refusing, unread = _search(learning, list(_calls(learning)), usual, token)
    for header in others if user_call is None else ():
        user_call, _, more = _search(learning, refusing, header, token)
        unread += more
        if user_call is not None:
            break
    if user_call is None:
        _learn_user_of_login(learning, login, _report_unread(learning, unread))
        return None
    _learn_call(learning, user_call)
    return user_call.answer


def _search(learning: Learning, lines: list[str], header: str, token: str) -> _Search:
    """Make these calls until one returns the user."""
    is_named = bool(learning.connection.environ.get("BACKEND_USER"))
    refusing: list[str] = []
    unread: list[tuple[str, Answer]] = []
    uncertain_call = None
    for each in lines:
        line, answer = _call_user(learning, each, header, token)
        if answer is None or (is_missing(answer) and not is_named):
            continue
        is_success = answer.status in (200, 201)
        place = _find_place(learning, answer) if is_success else None
        if place and place.has_identifier:
            return _Search(_UserCall(line, header, answer, place), refusing, unread)
        if place:
            uncertain_call = uncertain_call or _UserCall(line, header, answer, place)
            continue
        if not is_success or signature(answer) not in learning.missing:
            refusing.append(line)
        if is_named or (is_success and line in refusing and isinstance(answer.get("body"), dict | list)):
            unread.append((line, answer))
    return _Search(uncertain_call, refusing, unread)


def _call_user(learning: Learning, line: str, header: str, token: str) -> tuple[str, Answer | None]:
    """Make the call; with POST if its answer says so."""
    changes = {"BACKEND_USER": line, "BACKEND_TOKEN_HEADER": header}
    answer = learning.connection.probe("user", {"token": token}, **changes)
    if answer is not None and answer.status == 405 and "POST" in answer.response.headers.get("Allow", ""):
        line = line.replace("GET", "POST", 1)
        answer = learning.connection.probe("user", {"token": token}, **{**changes, "BACKEND_USER": line})
    return line, answer


def _learn_call(learning: Learning, user_call: _UserCall) -> None:
    learning.report.answer(f"{user_call.line} with the header {user_call.header.partition(':')[0]}", user_call.answer)
    learning.connection.learned_settings["BACKEND_USER"] = user_call.line
    if user_call.header != _BEARER:
        learning.connection.learned_settings["BACKEND_TOKEN_HEADER"] = user_call.header
    if not user_call.place.has_identifier:
        learning.report.warning("Guessed: the answer does not contain what you signed in with. Is it about you?")
    _learn_place(learning, user_call.place)


def _report_unread(learning: Learning, unread: list[tuple[str, Answer]]) -> str:
    """Print the keys of the answers in which no user was found. Returns what the operator can do."""
    user_setting = learning.connection.environ.get("BACKEND_USER")
    different = {(line, signature(answer)): answer for line, answer in reversed(unread)}
    for (line, _), answer in [*reversed(different.items())][:_MAX_UNREAD]:
        learning.report.answer(line, answer)
    if any(answer.status in (200, 201) for _, answer in unread):
        hint = "No id was recognized among these keys: set BACKEND_USER_FIELDS=id=<key>."
        return hint if user_setting else f'{hint} Or name another call with --user "GET /path".'
    if user_setting:
        return f"{user_setting} does not return the user. Is the path right? Else set BACKEND_TOKEN_HEADER."
    return 'No call returns the user. Name it with --user "GET /path".'


def _learn_user_of_login(learning: Learning, login: Answer, hint: str) -> None:
    """Take the user from the answer to the login. Raises `StoppedError` with the hint if that has none."""
    place = _find_place(learning, login)
    if place is None or not (place.has_identifier or place.at != "body"):
        raise StoppedError(hint)
    learning.report.line("no call returns the user, but the answer to the login has it")
    learning.report.warning(
        "The site then cannot notice that an account was closed. Name the call with --user, if there is one."
    )
    learning.connection.learned_settings["BACKEND_USER_FROM_LOGIN"] = "true"
    _learn_place(learning, place)


def _learn_place(learning: Learning, place: UserPlace) -> None:
    learning.connection.learned_settings |= place.settings
    fields = ", ".join(f"{name} from {path}" for name, path in place.fields.items())
    learning.report.line(f"took {fields}" + ("" if place.at == "body" else f", below {place.at}"))
    for guess in place.warnings:
        learning.report.warning(guess)
    if missing := [name for name in ("name", "email") if name not in place.fields]:
        settings = " ".join(f"{name}=<key>" for name in missing)
        learning.report.line(
            f"found no {' and no '.join(missing)}: set BACKEND_USER_FIELDS={settings}, if there is one"
        )


def _calls(learning: Learning) -> Iterator[str]:
    if line := learning.connection.environ.get("BACKEND_USER"):
        yield line
        return
    documented_lines = [each.line for each in learning.operations if each.method == "GET" and _is_user_path(each.path)]
    yield from sorted(documented_lines, key=lambda line: (not line.rstrip("/").endswith("/me"), len(line)))
    presets = lines_of([backends.find(name).user for name in backends.names()])
    preset_lines = [line for line in presets if line.startswith("GET")]
    common_lines = [line.replace("POST", "GET", 1) for line in learning.common_lines(_SUFFIXES)]
    yield from dict.fromkeys([*common_lines[:12], *preset_lines, *common_lines[12:]])


def _is_user_path(path: str) -> bool:
    return not placeholders(path) and _USER_PATH.search(path) is not None


def _token_headers(learning: Learning) -> list[str]:
    """The ways to send the token, the likely one first."""
    if header := learning.connection.environ.get("BACKEND_TOKEN_HEADER"):
        return [header]
    kind, _, name = learning.token_place.rpartition(":")
    schemes = [_BEARER, *(f"Authorization: {scheme}{{token}}" for scheme in ("Token ", "JWT ", ""))]
    preset_headers = [header for name in backends.names() if (header := backends.find(name).token_header)]
    usual = [f"{name}: {{token}}" for name in ("X-Auth-Token", "X-Access-Token", "Access-Token")]
    own = [header for header in dict.fromkeys([*preset_headers, *usual]) if header not in schemes]
    if kind == "header" and name.lower() != "authorization":
        return [f"{name}: {{token}}", *schemes, *own]
    if kind == "cookie":
        return [f"Cookie: {name}={{token}}", *schemes, *own]
    return [*schemes, *own]


def _find_place(learning: Learning, answer: Answer) -> UserPlace | None:
    """Where this answer has the user: as the settings say, if that is true, or else as its keys and values look."""
    identifier = learning.account.identifier
    places = list(_given_places(learning, answer))
    configured_place = next((place for place in places if place.has_identifier), places[0] if places else None)
    return configured_place or find_user(answer.get("body"), identifier)


def _given_places(learning: Learning, answer: Answer) -> Iterator[UserPlace]:
    """The places of a user that agree with `BACKEND_USER_AT` and `BACKEND_USER_FIELDS` of the settings."""
    configured = learning.connection.configured_places
    fields = user_fields(configured["BACKEND_USER_FIELDS"]) if "BACKEND_USER_FIELDS" in configured else {}
    paths = [path or "body" for path, _ in objects(answer.get("body")) if printable(path) == path]
    for at in [configured["BACKEND_USER_AT"]] if "BACKEND_USER_AT" in configured else paths if fields else []:
        item = answer.get(at)
        place = _describe_user(at, item, learning.account.identifier, fields) if isinstance(item, dict) else None
        if place is None or "id" not in place.fields:
            continue
        backend = learning.connection.settings(**place.settings).backend
        if results.user_if_any(backend, answer):
            yield place


def find_user(body: object, identifier: str) -> UserPlace | None:
    """The object that describes the person; None if there is none. Chosen by names, and by the value typed."""
    candidates = [(_score(path, item, identifier), -path.count("."), path, item) for path, item in objects(body)]
    score, _, path, item = max(candidates, key=lambda each: each[:2], default=(0, 0, "", {}))
    if not score or (path and printable(path) != path):
        return None
    return _describe_user(path or "body", item, identifier)


def _score(path: str, item: dict[str, object], identifier: str) -> int:
    has_id = any(_is_id(key, value) for key, value in item.items())
    matches = any(_is_same(value, identifier) for value in item.values())
    matches_below = any(_is_same(leaf.value, identifier) for leaf in leaves(item))
    field_count = len({*map(plain, item)} & {*_FULL_NAMES, *_USER_NAMES, *_NICK_NAMES, *_EMAILS})
    if not (has_id or matches) or not (matches or field_count):
        return 0
    is_named = plain(path.rpartition(".")[2]) in _USER_KEYS
    return 10 * matches + 4 * has_id + 3 * is_named + 3 * matches_below + min(field_count, 3)


def _describe_user(
    at: str, item: dict[str, object], identifier: str, known_fields: Mapping[str, str] | None = None
) -> UserPlace:
    """The place of each field of the user in this object. known_fields: those that the settings name."""
    known_fields = known_fields or {}
    values = sorted((leaf for leaf in leaves(item) if _can_be_field(leaf)), key=lambda leaf: leaf.place.count("."))
    texts = {leaf.place: leaf.value for leaf in values if isinstance(leaf.value, str) or leaf.value is None}
    identifier_place = next((place for place, value in texts.items() if _is_same(value, identifier)), None)
    user_id, id_guess = _find_id(item, identifier_place) if "id" not in known_fields else (None, "")
    name, name_guess = _find_name(texts) if "name" not in known_fields else (None, "")
    email = _by_name(texts, _EMAILS) or (identifier_place if "@" in identifier else None)
    fields = {"id": user_id, "name": name, "nick_name": _by_name(texts, _NICK_NAMES), "email": email, **known_fields}
    return UserPlace(
        at,
        {field: place for field, place in fields.items() if place},
        has_identifier=identifier_place is not None,
        warnings=tuple(filter(None, (id_guess, name_guess))),
    )


def _can_be_field(leaf: Value) -> bool:
    """Whether it belongs to the user, and not to a list or to an object far below."""
    keys = leaf.place.split(".")
    return len(keys) <= 2 and not any(key.isdigit() for key in keys) and printable(leaf.place) == leaf.place


def _find_id(item: Mapping[str, object], fallback: str | None) -> tuple[str | None, str]:
    """The key of the id, and what is guessed about it."""
    ids = [key for key, value in item.items() if _is_id(key, value)]
    key = min(ids, key=lambda key: _IDS.index(plain(key)) if plain(key) in _IDS else len(_IDS), default=fallback)
    if ids and plain(key or "") in _IDS[:_CERTAIN_IDS]:
        return key, ""
    return key, f"Guessed: the id is {key}. It must be unique and never change."


def _find_name(texts: Mapping[str, object]) -> tuple[str | None, str]:
    """The place of the name, and what is guessed about it."""
    top = {place: value for place, value in texts.items() if "." not in place}
    name = _by_name(top, _FULL_NAMES) or _by_name(texts, _FULL_NAMES)
    parts = [
        _by_name(texts, names)
        for names in (("firstname", "givenname", "firstnm"), ("lastname", "familyname", "surname", "lastnm"))
    ]
    if name is None and all(parts):
        full_name = "+".join(part for part in parts if part)
        return (
            full_name,
            f"Guessed: the name is {full_name}. In Hangul or Chinese characters, the family name comes first.",
        )
    if name is not None:
        return name, ""
    name = _by_name(top, _USER_NAMES) or _by_name(texts, _USER_NAMES)
    guess = f"Guessed: the name is {name}. Set BACKEND_USER_FIELDS=name=<key>, if another key has the name."
    return name, guess if name else ""


def _by_name(texts: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    places = {plain(place.rpartition(".")[2]): place for place in reversed(list(texts))}
    return next((places[name] for name in names if name in places), None)


def _is_id(key: str, value: object) -> bool:
    name = plain(key)
    if printable(key) != key or (name not in _IDS and not name.endswith("id")):
        return False
    if name.startswith((*_OTHERS, *providers.names())):
        return False
    try:
        User.from_json({"id": value})
    except ValueError:
        return False
    return True


def _is_same(value: object, identifier: str) -> bool:
    """Whether this is what the operator has typed, perhaps with another case or spelled as another number."""
    if not isinstance(value, str) or not value:
        return False
    digits, typed_digits = re.sub(r"\D", "", value), re.sub(r"\D", "", identifier)
    is_number = re.fullmatch(r"[+\d\s()\-]{8,}", value) is not None and typed_digits[-8:] == digits[-8:]
    return value.casefold() == identifier.casefold() or is_number
