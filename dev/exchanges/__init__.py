"""Recorded exchanges with real backends, `<id>.json`: one request for each call, its answers.

The tests hold each file of `backends/` to its exchanges, and the stand-in backend serves them. A file has

    proof       "recorded" from running software, or "sources": written from its source code or documentation
    software    what was running or read, with versions; a case in backquotes was only read
    settings    the settings that the site needs beside `BACKEND`; `{url}` is the address of the stand-in
    user        the user of the answers: `user_id`, `name`, `nick_name`, `email`, null if the backend has none
                (`first_name` and `last_name` where the answers have the name in parts)
    life        seconds until the access token expires, null if the backend does not tell
    jwt         whether the access token is a JWT
    survives_logout   true if the access token stays valid after the logout
    renews_once       true if an access token is exchanged for a new one once, also after it has expired
    calls       for each call its `request`, and `answers` by case

A request has `method`, `path` (with its query), the headers that matter, and its body as `json` or `form`. An answer
has `status`, `headers`, `cookies` (name -> value), and its body as `json` or `text`; without either it is empty.

Names in braces stand for values that differ from run to run: `{identifier}`, `{password}`, `{token}`,
`{refresh_token}`, after a refresh `{new_token}` and `{new_refresh_token}`, the fields of `user`, `{social_token}`, a
provider's `{access_token}` and `{id_token}`,
`{provider}`, `{new_password}`, `{code}` and `{uid}` of a mail, `{site_url}`, `{phone}`, `{account}` and `{providers}`
that are connected, for a passkey `{options_challenge}`, `{user_handle}`, the browser's answer `{credential}`, its id
`{passkey}`, `{device}` and `{created_at}`, for a next step `{challenge}`, `{ticket}`, `{method}`, `{code}`,
`{step_url}`, `{trust_token}` and `{origin}`, the origin of `BACKEND_URL`, and `{expires_at}` and `{in_40_seconds}`,
seconds since 1970. A text that is nothing else than a name becomes the value itself, so that a number stays one.

The cases of `login` are `right`, `wrong`, `unverified`, `locked`, `throttled`, `next_step` (a code is wanted),
`redirect` (another page has to be visited), `setup` (a second factor has to be set up) and `configuration`; of `verify`
and `verify_recovery_code` `right`, `wrong`, `expired` and `over` (the backend no longer knows the sign-in); of `resend`
`right` and `over`; of `social` `right` and `fields` (further fields are wanted); of `social_register` `right`,
`refused`, `taken` and `over`; of `profile` `right`; of `user` `right` and `dead_token`; of `refresh` `right` and
`refused`; of `logout` `right` and `refused`; of `register` `right`, `taken` and `weak`; of `forgot` and
`resend_verification` `right` and `unknown`; of `reset` `right`, `bad_code` and `weak`; of `verify_email` `right` and
`bad_code`; of `change_password` `right`, `wrong` and `weak`; of `link` `right`, `linked` (to another user) and
`refused`; of `unlink` `right` and `last_way`; of `links` `right`; of `passkey_options` `right`; of `passkey` `right`,
`wrong` and `over`; of `confirm_password` `right` and `wrong`; of `passkey_register_options`, `passkey_register` and
`passkey_remove` `right` and `sign_in_again`, the second also `wrong`; of `passkey_list` `right`. A case that the
backend does not have, or does not tell from another, is left out. The stand-in backend knows a few more, which
`dev/backend.py` names.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    json: Any = ...
    """`...`: no JSON, as null is an answer too."""
    text: str = ""

    @property
    def body(self) -> bytes:
        """JSON is written as Flask does: compact, with sorted keys, on a line of its own."""
        if self.json is ...:
            return self.text.encode()
        return json.dumps(self.json, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        kind = [] if self.json is ... else [("Content-Type", "application/json")]
        cookies = [("Set-Cookie", f"{name}={value}; Path=/; HttpOnly") for name, value in self.cookies.items()]
        return [*kind, *self.headers.items(), *cookies]


@dataclass(frozen=True, kw_only=True)
class Call:
    request: Request
    answers: Mapping[str, Answer]


@dataclass(frozen=True, kw_only=True)
class Exchanges:
    proof: str
    software: str
    user: Mapping[str, Any]
    calls: Mapping[str, Call]
    settings: Mapping[str, str] = field(default_factory=dict)
    life: int | None = None
    jwt: bool = False
    survives_logout: bool = False
    renews_once: bool = False


def ids() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@lru_cache
def load(backend_id: str) -> Exchanges:
    data = json.loads((FOLDER / f"{backend_id}.json").read_text("utf-8"))
    calls = {
        name: Call(
            request=Request(**call["request"]),
            answers={case: Answer(**answer) for case, answer in call["answers"].items()},
        )
        for name, call in data.pop("calls").items()
    }
    return Exchanges(calls=calls, **data)


def has_name(template: Request | Answer, name: str) -> bool:
    """Whether this request or answer has `{name}` anywhere."""
    return f"{{{name}}}" in str(vars(template))


def fill_request(request: Request, values: Mapping[str, Any]) -> Request:
    return Request(**fill(vars(request), values))


def fill_answer(answer: Answer, values: Mapping[str, Any]) -> Answer:
    return Answer(**fill(vars(answer), values))


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Replace the names in all texts of this JSON. A name without a value stays as it is."""
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if (match := re.fullmatch(r"\{(\w+)\}", template)) and match[1] in values:
        return values[match[1]]
    return re.sub(r"\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), template)


def read(template: Any, value: Any) -> dict[str, Any] | None:
    """The opposite of `fill`: return the values of the names in a template, None if its constants differ.

    A name whose place is missing has no value. Members that the template does not have are ignored.
    """
    if isinstance(template, Mapping):
        members = value if isinstance(value, Mapping) else {}
        parts = [read(part, members.get(key)) for key, part in template.items()]
        return None if None in parts else {name: text for part in parts if part for name, text in part.items()}
    if isinstance(template, list):
        items = value if isinstance(value, list) else []
        return read(dict(enumerate(template)), dict(enumerate(items)))
    if not isinstance(template, str) or "{" not in template:
        return {} if template == value else None
    if match := re.fullmatch(r"\{(\w+)\}", template):
        return {} if value is None else {match[1]: value}
    names: set[str] = set()

    def group(match: re.Match[str]) -> str:
        is_known = match[1] in names
        names.add(match[1])
        return f"(?P={match[1]})" if is_known else f"(?P<{match[1]}>.+)"

    pattern = re.sub(r"\\\{(\w+)\\\}", group, re.escape(template))
    match = re.fullmatch(pattern, value) if isinstance(value, str) else None
    return match.groupdict() if match else {}
