"""The settings that describe a backend without a file: all of `custom`, and single parts of any other."""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import settings_readers as read
from backends.base import (
    BEARER_HEADER,
    CALLS,
    PASSKEY_CALLS,
    Backend,
    Call,
    FieldErrors,
    Meaning,
    Rule,
    placeholders,
)
from settings_readers import SettingSpec

_SEGMENT = r"[^\s.|+:;={}]+"
_PATH = rf"{_SEGMENT}(?:\.{_SEGMENT})*"
_PLACE = rf"(?:header:[\w\-]+|cookie:[\w\-.]+|{_PATH})"
_PLACES = re.compile(rf"{_PLACE}(?:\|{_PLACE})*", re.ASCII)
_FIELD_PLACES = re.compile(rf"{_PATH}(?:[|+]{_PATH})*")
_LINKS_FIELDS = ("provider", "account")
_PASSKEY_FIELDS = ("id", "name", "created_at", "used_at")
_USER_FIELDS = ("id", "name", "nick_name", "email")


class _CallLine(NamedTuple):
    method: str
    path: str


def path(text: str) -> str:
    """Return the path of a call below `BACKEND_URL`, with its query, or the https URL of a call to another host."""
    scheme, separator, rest = text.rpartition("://")
    if separator and not read.is_safe(f"{scheme}://{rest}"):
        raise ValueError("must be a path, or a URL that starts with https://")
    start = r"[^/]+/" if separator else "/"
    if not re.fullmatch(start + r"(?!/)[\w\-.~%/{}:@?=&,+*!$;()]*", rest, re.ASCII) or "//" in rest:
        raise ValueError("must be a path that starts with one '/'")
    return text


def call_line(text: str) -> _CallLine:
    """Return method and path of a call; both are empty for `none`."""
    if text.lower() == "none":
        return _CallLine("", "")
    method, _, rest = text.partition(" ")
    if method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        raise ValueError("must be a method in capitals and a path, or none")
    return _CallLine(method, path(rest.strip()))


def place(text: str) -> str:
    """Return a place in an answer, as `backends/base.py` describes it."""
    if not _PLACES.fullmatch(text):
        raise ValueError("must be keys separated by dots, header:Name, cookie:name or body")
    return text


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return `name=value` pairs separated by spaces. A value with spaces is in quotes, as in a shell.

    No message repeats the text: it may have a secret.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("has a quote that is not closed") from None
    pairs = [word.partition("=") for word in words]
    if invalid := [number for number, (name, equals, _) in enumerate(pairs, 1) if not name or not equals]:
        raise ValueError(f"must be pairs of name=value separated by spaces; number {invalid[0]} is not one")
    return [(name, value) for name, _, value in pairs]


def body(text: str) -> dict[str, Any]:
    """Return the body of a call: `name=text` and `name:=JSON`. A dot in a name makes an object."""
    result: dict[str, Any] = {}
    for name, value in _pairs(text):
        target = result
        *parents, key = name.removesuffix(":").split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ValueError(f"has {parent[:20]!r} as a text and as an object")
        target[key] = _json(value) if name.endswith(":") else value
    return result


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("has a ':=' without JSON behind it") from None


def headers(text: str) -> dict[str, str]:
    pairs = _pairs(text)
    if invalid := [name for name, value in pairs if not is_header(name, value)]:
        raise ValueError(f"cannot set the header {invalid[0][:40]!r}")
    return dict(pairs)


def is_header(name: str, value: str) -> bool:
    """Whether a call can have this header (RFC 9110, 5.1 and 5.5)."""
    own = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")
    is_valid = re.fullmatch(r"[!#$%&'*+\-.^`|~\w]+", name, re.ASCII) and re.fullmatch(r"[ -~]*", value)
    return bool(is_valid) and name.lower() not in own


def token_header(text: str) -> str:
    """Return the template of the header that has the token; empty for `none`."""
    if text.lower() == "none":
        return ""
    name, _, value = text.partition(":")
    if "{token}" not in value or not is_header(name, value):
        raise ValueError("must be a header with {token}, or none")
    return text


def refresh_send(text: str) -> tuple[str, str]:
    """Return where the refresh token is sent (`json`, `form`, `cookie` or `bearer`), and under which name."""
    where, _, name = text.partition(":")
    if where not in ("json", "form", "cookie", "bearer") or bool(name) is (where == "bearer"):
        raise ValueError("must be json:<name>, form:<name>, cookie:<name> or bearer")
    return where, name


def challenge_send(text: str) -> tuple[str, str]:
    """Return where the challenge is sent (`header`, `cookie` or `bearer`), and under which name."""
    where, _, name = text.partition(":")
    is_named = re.fullmatch(r"[\w\-.]+", name, re.ASCII) and is_header(name, "x")
    if not (name == "" if where == "bearer" else where in ("header", "cookie") and is_named):
        raise ValueError("must be header:<name>, cookie:<name> or bearer")
    return where, name


def expires(text: str) -> str:
    if not re.fullmatch(r"\S+:(s|ms|at)", text) or not _PLACES.fullmatch(text.rpartition(":")[0]):
        raise ValueError("must be a place, and its unit: s, ms or at")
    return text


def user_fields(text: str) -> dict[str, str]:
    return _fields(text, _USER_FIELDS)


def links_fields(text: str) -> dict[str, str]:
    return _fields(text, _LINKS_FIELDS)


def passkey_fields(text: str) -> dict[str, str]:
    return _fields(text, _PASSKEY_FIELDS)


def _fields(text: str, names: Sequence[str]) -> dict[str, str]:
    fields = dict(_pairs(text))
    if unknown := set(fields) - set(names):
        raise ValueError(f"can only have {', '.join(names)}, not {min(unknown)[:20]!r}")
    if invalid := [value for value in fields.values() if not _FIELD_PLACES.fullmatch(value)]:
        raise ValueError(f"must have keys separated by dots, not {invalid[0][:40]!r}")
    return fields


def meanings(text: str) -> tuple[Rule, ...]:
    """Return rules separated by `;`: a status, a place with or without its value, and a meaning."""
    return tuple(_rule(part.strip()) for part in text.split(";") if part.strip())


def _rule(text: str) -> Rule:
    match = re.fullmatch(rf"([1-5][0-9]{{2}}) (\*|{_PLACE})(?:=(.*))? (\w+)", text)
    if match is None:
        raise ValueError(f"must have a status, a place and a meaning, not {text[:60]!r}")
    status, where, value, word = match.groups()
    if word not in [*Meaning]:
        raise ValueError(f"knows the meanings {', '.join(Meaning)}, not {word[:30]!r}")
    return Rule(int(status), where, None if value == "null" else ... if value is None else value, Meaning(word))


def field_errors(text: str) -> FieldErrors:
    status, _, where = text.rpartition(" ")
    if not re.fullmatch(r"[1-5][0-9]{2}|", status):
        raise ValueError("must be a place, after a status if that is not 422")
    return FieldErrors(place(where), int(status or 422))


def statuses(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-5][0-9]{2}( [1-5][0-9]{2})*", text):
        raise ValueError("must be statuses separated by spaces")
    return tuple(map(int, text.split()))


def mail_link_parameters(text: str) -> dict[str, str]:
    """Return placeholder -> parameters, as `Backend.mail_link_parameters`."""
    parameters = dict(_pairs(text))
    if unknown := set(parameters) - {"code", "uid", "identifier"}:
        raise ValueError(f"can only have code, uid and identifier, not {min(unknown)[:20]!r}")
    if invalid := [value for value in parameters.values() if not re.fullmatch(r"[\w\-.|]+", value, re.ASCII)]:
        raise ValueError(f"must have names of parameters, not {invalid[0][:40]!r}")
    return parameters


_PARTS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "BACKEND_TOKEN": ("token", place, "data.accessToken"),
    "BACKEND_TOKEN_HEADER": ("token_header", token_header, BEARER_HEADER),
    "BACKEND_REFRESH_TOKEN": ("refresh_token", place, "cookie:refreshToken"),
    "BACKEND_EXPIRES": ("expires", expires, "expires_in:s"),
    "BACKEND_REFRESH_EXPIRES": ("refresh_expires", expires, "refresh_expires_in:s"),
    "BACKEND_REFRESHES_EXPIRED": ("refreshes_expired", read.boolean, "true"),
    "BACKEND_REFRESH_REUSE_SECONDS": ("refresh_reuse_seconds", read.integer(0, 3600), "10"),
    "BACKEND_USER_AT": ("user_at", place, "data.member"),
    "BACKEND_USER_FIELDS": ("user_fields", user_fields, "id=memberId nick_name=nickname email=emailAddress"),
    "BACKEND_USER_FROM_LOGIN": ("user_from_login", read.boolean, "true"),
    "BACKEND_LINKS_AT": ("links_at", place, "data.providers"),
    "BACKEND_LINKS_FIELDS": ("links_fields", links_fields, "provider=provider.id account=uid"),
    "BACKEND_HEADERS": ("headers", headers, "apikey={BACKEND_API_KEY}"),
    "BACKEND_MEANINGS": ("meanings", meanings, "400 error.code=EMAIL_NOT_CONFIRMED not_verified; 410 * session_over"),
    "BACKEND_FIELD_ERRORS": ("field_errors", field_errors, "400 body"),
    "BACKEND_MESSAGE": ("message", place, "error.message"),
    "BACKEND_RETRY_AFTER": ("retry_after", place, "header:X-Retry-After"),
    "BACKEND_LOGOUT_DONE": ("logout_done", statuses, "401 404"),
    "BACKEND_LOGOUT_REVOKES": ("logout_revokes", read.boolean, "false"),
    "BACKEND_MAILS_CODE": ("mails_code", read.boolean, "true"),
    "BACKEND_MAIL_LINK_PARAMETERS": ("mail_link_parameters", mail_link_parameters, "code=token uid=uid"),
}
"""Setting -> field of `Backend`, reader and example."""
_NEXT_STEP_PARTS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "BACKEND_NEXT_STEP_CHALLENGE": ("challenge", place, "data.challenge"),
    "BACKEND_NEXT_STEP_METHODS": ("methods", place, "data.methods"),
    "BACKEND_NEXT_STEP_SENT_TO": ("sent_to", place, "data.sent_to"),
    "BACKEND_NEXT_STEP_RESEND_AFTER": ("resend_after", place, "data.resend_after"),
    "BACKEND_NEXT_STEP_REDIRECT_URL": ("url", place, "data.url"),
    "BACKEND_REQUIRED_FIELDS": ("fields", place, "data.missing"),
}
"""The same for the fields of `NextStep`."""
_PASSKEY_PARTS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "BACKEND_PASSKEY_REQUEST_OPTIONS": ("request_options", place, "data.options"),
    "BACKEND_PASSKEY_CREATION_OPTIONS": ("creation_options", place, "data.options"),
    "BACKEND_PASSKEY_CHALLENGE": ("challenge", place, "data.challenge_id"),
    "BACKEND_PASSKEY_LIST_AT": ("listed", place, "data.passkeys"),
    "BACKEND_PASSKEY_LIST_FIELDS": ("fields", passkey_fields, "id=id name=label used_at=lastUsedAt"),
}
"""The same for the fields of `Passkeys`."""
_CALL_EXAMPLES = {
    "login": ("POST /api/auth/login", "email={identifier} password={password} device_name=web"),
    "social": ("POST /api/auth/social", "provider={provider} token={social_token}"),
    "social_register": ("POST /api/auth/social/sign-up", "ticket={challenge} nickname={name} phone={phone}"),
    "user": ("GET /api/members/me", "token={token}"),
    "refresh": ("POST /api/auth/refresh", "refreshToken={refresh_token}"),
    "logout": ("POST /api/auth/logout", "refreshToken={refresh_token}"),
    "profile": ("PATCH /api/members/me", "name={name} nickname={nick_name}"),
    "register": ("POST /api/auth/sign-up", "email={identifier} password={password} nickname={name}"),
    "forgot": ("POST /api/auth/password/mail", "email={identifier}"),
    "reset": ("POST /api/auth/password/reset", "code={code} password={new_password}"),
    "verify_email": ("POST /api/auth/email/verify", "code={code}"),
    "resend_verification": ("POST /api/auth/email/mail", "email={identifier}"),
    "link": ("POST /api/members/me/providers", "provider={provider} token={social_token}"),
    "unlink": ("DELETE /api/members/me/providers/{provider}", "provider={provider}"),
    "links": ("GET /api/members/me/providers", "token={token}"),
    "change_password": ("PUT /api/members/me/password", "current={password} new={new_password}"),
    "verify": ("POST /api/auth/verify", "challenge={challenge} code={code}"),
    "verify_recovery_code": ("POST /api/auth/recover", "challenge={challenge} recovery_code={code}"),
    "resend": ("POST /api/auth/resend", "challenge={challenge} method={method}"),
    "passkey_options": ("POST /api/auth/passkey/options", "rp=login.example.com"),
    "passkey": ("POST /api/auth/passkey", "credential={credential} challenge={challenge}"),
    "confirm_password": ("POST /api/members/me/password/confirm", "password={password}"),
    "passkey_register_options": ("POST /api/members/me/passkeys/options", "user={user_id}"),
    "passkey_register": ("POST /api/members/me/passkeys", "credential={credential} challenge={challenge}"),
    "passkey_list": ("GET /api/members/me/passkeys", "user={user_id}"),
    "passkey_remove": ("DELETE /api/members/me/passkeys/{passkey}", "passkey={passkey}"),
    "provider_event": ("POST /api/auth/provider-events", "event={type} provider={provider} uid={subject}"),
}


def _call_settings(name: str) -> Mapping[str, SettingSpec]:
    line, body_example = _CALL_EXAMPLES[name]
    prefix = f"BACKEND_{name.upper()}"
    return {
        prefix: SettingSpec(call_line, line),
        f"{prefix}_PATH": SettingSpec(path, line.partition(" ")[2]),
        f"{prefix}_BODY": SettingSpec(body, body_example),
        f"{prefix}_FORM": SettingSpec(read.boolean, "true"),
    }


SETTINGS: Mapping[str, SettingSpec] = {
    **{name: spec for call in CALLS for name, spec in _call_settings(call).items()},
    "BACKEND_REFRESH_SEND": SettingSpec(refresh_send, "cookie:refreshToken"),
    "BACKEND_NEXT_STEP_CHALLENGE_SEND": SettingSpec(challenge_send, "header:X-Challenge"),
    **{
        name: SettingSpec(reader, example)
        for name, (_, reader, example) in {**_PARTS, **_NEXT_STEP_PARTS, **_PASSKEY_PARTS}.items()
    },
}


CONSTANTS: Mapping[str, SettingSpec] = {
    "BACKEND_API_KEY": SettingSpec(read.credential, "<from the backend's administrator>", required=True, secret=True),
    "BACKEND_CLIENT_ID": SettingSpec(read.credential, "<from the backend's administrator>", required=True),
    "BACKEND_CLIENT_SECRET": SettingSpec(read.credential, "<from the backend's administrator>", secret=True),
    "BACKEND_SCOPE": SettingSpec(read.header_value, "openid profile"),
    "BACKEND_ORIGIN": SettingSpec(read.origin, "https://api.example.com"),
}
"""The settings whose values templates use, unless the backend has another specification."""


def constant(backend: Backend, name: str) -> SettingSpec:
    """How to read a setting that a template uses."""
    return backend.settings.get(name) or CONSTANTS.get(name) or CONSTANTS["BACKEND_API_KEY"]


def override(backend: Backend, values: Mapping[str, Any]) -> Backend:
    """Return the backend with the parts in `values`: setting -> value; None if it is unset.

    Calls that still have no path are removed.
    """
    parts = {field: values[name] for name, (field, _, _) in _PARTS.items() if values[name] is not None}
    for field in ("headers", "user_fields", "links_fields", "mail_link_parameters"):
        parts[field] = {**getattr(backend, field), **parts.get(field, {})}
    parts["meanings"] = (*parts.get("meanings", ()), *backend.meanings)
    next_step = {field: values[name] for name, (field, _, _) in _NEXT_STEP_PARTS.items() if values[name] is not None}
    parts["next_step"] = replace(backend.next_step, **next_step)
    passkeys = {field: values[name] for name, (field, _, _) in _PASSKEY_PARTS.items() if values[name] is not None}
    passkeys["fields"] = {**backend.passkeys.fields, **passkeys.get("fields", {})}
    parts["passkeys"] = replace(backend.passkeys, **passkeys)
    parts |= {name: _override_call(getattr(backend, name), f"BACKEND_{name.upper()}", values) for name in CALLS}
    if values["BACKEND_REFRESH_SEND"] and parts["refresh"]:
        where, name = values["BACKEND_REFRESH_SEND"]
        parts["refresh"] = _with_refresh_token(parts["refresh"], where, name)
        if where == "cookie" and parts["logout"]:  # it revokes the refresh token
            parts["logout"] = _with_cookie(parts["logout"], name)
    if values["BACKEND_NEXT_STEP_CHALLENGE_SEND"]:
        for name in ("verify", "verify_recovery_code", "resend", "social_register"):
            parts[name] = parts[name] and _with_challenge(parts[name], *values["BACKEND_NEXT_STEP_CHALLENGE_SEND"])
    parts |= {name: None for name in CALLS if parts[name] and parts[name].path is None}
    return replace(backend, **parts)


def without_passkeys(backend: Backend) -> Backend:
    """Return the backend without its calls for passkeys."""
    return replace(backend, **dict.fromkeys(PASSKEY_CALLS))  # type: ignore[arg-type]  # all are calls or None


def _override_call(call: Call | None, name: str, values: Mapping[str, Any]) -> Call | None:
    line = values[name]
    if line and not line.method:
        return None
    if line:
        body = call.body if call and line.method != "GET" else None
        if placeholders(line.path) and placeholders(line.path) >= placeholders(body):
            body = None  # the path has all of it
        call = replace(call or Call("", None), method=line.method, path=line.path, body=body)
    if call is None:
        return None
    changes = {part: values[f"{name}_{part.upper()}"] for part in ("path", "body", "form")}
    return replace(call, **{part: value for part, value in changes.items() if value is not None})


def _with_refresh_token(call: Call, where: str, name: str) -> Call:
    template = "{refresh_token}"
    if where == "cookie":
        return _with_cookie(replace(call, body=None), name)
    if where == "bearer":
        return replace(call, body=None, headers={**call.headers, "Authorization": f"Bearer {template}"})
    if where == "json":
        body: Any = template
        for key in reversed(name.split(".")):
            body = {key: body}
        return replace(call, body=body, form=False)
    return replace(call, body={name: template}, form=True)


def _with_challenge(call: Call, where: str, name: str) -> Call:
    header = {
        "header": {name: "{challenge}"},
        "cookie": {"Cookie": f"{name}={{challenge}}"},
        "bearer": {"Authorization": "Bearer {challenge}"},
    }
    body = call.body and {key: value for key, value in call.body.items() if value != "{challenge}"}
    return replace(call, body=body, headers={**call.headers, **header[where]})


def _with_cookie(call: Call, name: str) -> Call:
    return replace(call, headers={**call.headers, "Cookie": f"{name}={{refresh_token}}"})


def contradictions(backend: Backend, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings of `values` that exclude each other, or that change a call that this backend does not have.

    backend: as it is before `override`. Each item is a setting and a message that continues its name.
    """
    problems = []
    for call in CALLS:
        name = f"BACKEND_{call.upper()}"
        if values[name] and values[f"{name}_PATH"]:
            problems.append((f"{name}_PATH", f"must be unset if {name} is set, which has the path too"))
        if getattr(backend, call) is None and not values[name]:
            parts = [f"{name}_{part}" for part in ("PATH", "BODY", "FORM") if values[f"{name}_{part}"]]
            problems += [(part, f"needs {name}: the backend {backend.id} has no such call") for part in parts]
    if values["BACKEND_REFRESH_SEND"] and values["BACKEND_REFRESH_BODY"]:
        problems.append(("BACKEND_REFRESH_SEND", "must be unset if BACKEND_REFRESH_BODY is set"))
    return problems
