"""Checks at the start that the parts of a backend fit together, after the settings have changed them."""

from collections.abc import Iterator, Mapping

from backends.base import (
    LINK_CALLS,
    PASSKEY_CALLS,
    PLACEHOLDERS,
    SOCIAL_TOKENS,
    Backend,
    Call,
    is_setting,
    placeholders,
    placeholders_of,
)

Problem = tuple[str, str]
"""A setting, and a message that continues its name."""


def problems(backend: Backend) -> Iterator[Problem]:
    """Yield missing and contradictory parts."""
    if "login" not in backend.calls:
        yield "BACKEND_LOGIN", "is required"
    if not backend.token:
        yield "BACKEND_TOKEN", "is required: where the answer to the login has the token"
    if "user" not in backend.calls and not backend.user_from_login:
        yield "BACKEND_USER", "is required, unless BACKEND_USER_FROM_LOGIN is true"
    for name, call in backend.calls.items():
        yield from _call_problems(name, call)
    for header, template in backend.headers.items():
        if unknown := [name for name in sorted(placeholders(template)) if not is_setting(name)]:
            yield "BACKEND_HEADERS", f"can use settings such as {{BACKEND_API_KEY}} in {header}, not {{{unknown[0]}}}"
    yield from _login_problems(backend)
    yield from _account_problems(backend)
    yield from _link_problems(backend)
    yield from _next_step_problems(backend)
    yield from _passkey_problems(backend)
    yield from _passkey_list_problems(backend)
    yield from _token_problems(backend)


def _call_problems(name: str, call: Call) -> Iterator[Problem]:
    setting = f"BACKEND_{name.upper()}"
    for part, template in (("", call.path), ("_BODY", call.body), ("", call.headers)):
        for unknown in sorted(placeholders(template) - PLACEHOLDERS[name]):
            if not is_setting(unknown):
                allowed = ", ".join(f"{{{placeholder}}}" for placeholder in sorted(PLACEHOLDERS[name]))
                yield setting + part, f"uses {{{unknown}}}, which is unknown; this call can use {allowed}"
    if call.body is not None and call.method == "GET":
        yield f"{setting}_BODY", "must be unset: a GET has no body"
    if call.form and any(isinstance(value, Mapping | list) for value in (call.body or {}).values()):
        yield f"{setting}_FORM", "must be false: form data has no nested values"
    if call.form and call.body is None:
        yield f"{setting}_FORM", f"needs {setting}_BODY"


def _login_problems(backend: Backend) -> Iterator[Problem]:
    login = backend.calls.get("login")
    if login and (missing := {"identifier", "password"} - placeholders_of(login)):
        yield "BACKEND_LOGIN_BODY", f"must use {{{min(missing)}}}"


_ACCOUNT_VALUES: Mapping[str, frozenset[str]] = {
    "register": frozenset({"identifier", "password"}),
    "forgot": frozenset({"identifier"}),
    "reset": frozenset({"code", "new_password"}),
    "verify_email": frozenset({"code"}),
    "resend_verification": frozenset({"identifier"}),
    "change_password": frozenset({"new_password"}),
}
"""What each call has to send."""
_MAIL_CALLS = ("forgot", "resend_verification")
"""They can send an email address in place of the identifier."""


def _account_problems(backend: Backend) -> Iterator[Problem]:
    calls = backend.calls
    for name, values in _ACCOUNT_VALUES.items():
        placeholder_names = placeholders_of(calls[name]) if name in calls else frozenset()
        if name in _MAIL_CALLS and "email" in placeholder_names:
            continue
        if name in calls and (missing_names := values - placeholder_names):
            yield f"BACKEND_{name.upper()}_BODY", f"must use {{{min(missing_names)}}}"
    if "reset" in calls and "forgot" not in calls:
        yield "BACKEND_FORGOT", "is required if BACKEND_RESET is set: it sends the mail"
    change = calls.get("change_password")
    if change and not backend.token_header and "token" not in placeholders_of(change):
        yield "BACKEND_CHANGE_PASSWORD_BODY", "must use {token}, as BACKEND_TOKEN_HEADER is none"


_LINK_VALUES: Mapping[str, tuple[str, ...]] = {"link": SOCIAL_TOKENS, "unlink": ("provider", "account")}
"""What each call has to send: one of these values."""


def _link_problems(backend: Backend) -> Iterator[Problem]:
    calls = backend.calls
    for name, values in _LINK_VALUES.items():
        if name in calls and placeholders_of(calls[name]).isdisjoint(values):
            part = "_PATH" if calls[name].body is None else "_BODY"
            yield f"BACKEND_{name.upper()}{part}", f"must use {{{values[0]}}}"
    for name in sorted({"unlink", "links"} & set(calls)):
        if "link" not in calls:
            yield f"BACKEND_{name.upper()}", "needs BACKEND_LINK, which connects providers"
        if not backend.links_at:
            yield "BACKEND_LINKS_AT", f"is required if BACKEND_{name.upper()} is set: where the list of providers is"
    without_token = [name for name in LINK_CALLS if name in calls and "token" not in placeholders_of(calls[name])]
    if without_token and not backend.token_header:
        yield f"BACKEND_{without_token[0].upper()}_BODY", "must use {token}, as BACKEND_TOKEN_HEADER is none"


def _next_step_problems(backend: Backend) -> Iterator[Problem]:
    steps = {
        name: backend.calls[name] for name in ("verify", "verify_recovery_code", "resend") if name in backend.calls
    }
    for name, call in steps.items():
        if "challenge" in placeholders_of(call) and not backend.next_step.challenge:
            yield "BACKEND_NEXT_STEP_CHALLENGE", f"is required: the {name} call sends {{challenge}}"
        if name != "resend" and "code" not in placeholders_of(call) and not backend.next_step.url:
            yield f"BACKEND_{name.upper()}_BODY", "must use {code}"
    sign_up = backend.calls.get("social_register")
    if sign_up and placeholders_of(sign_up).isdisjoint({"challenge", "social_token"}):
        yield "BACKEND_SOCIAL_REGISTER_BODY", "must use {challenge} or {social_token}"
    if sign_up and "challenge" in placeholders_of(sign_up) and not backend.next_step.challenge:
        yield "BACKEND_NEXT_STEP_CHALLENGE", "is required: the social_register call sends {challenge}"
    if steps and "verify" not in steps:
        yield "BACKEND_VERIFY", "is required for a next step"


def _passkey_problems(backend: Backend) -> Iterator[Problem]:
    calls = {name: call for name, call in backend.calls.items() if name in PASSKEY_CALLS}
    for name, options in (("passkey", "passkey_options"), ("passkey_register", "passkey_register_options")):
        for one, other in ((name, options), (options, name)):
            if one in calls and other not in calls:
                yield f"BACKEND_{other.upper()}", f"is required if BACKEND_{one.upper()} is set"
        placeholder_names = placeholders_of(calls[name]) if name in calls else frozenset({"credential"})
        if "credential" not in placeholder_names:
            yield f"BACKEND_{name.upper()}_BODY", "must use {credential}"
        if "challenge" in placeholder_names and not backend.passkeys.challenge:
            yield "BACKEND_PASSKEY_CHALLENGE", f"is required: the {name} call sends {{challenge}}"
    if "confirm_password" in calls and "password" not in placeholders_of(calls["confirm_password"]):
        yield "BACKEND_CONFIRM_PASSWORD_BODY", "must use {password}"
    if "passkey_register" in calls and "passkey" not in calls:
        yield "BACKEND_PASSKEY", "is required if BACKEND_PASSKEY_REGISTER is set"


def _passkey_list_problems(backend: Backend) -> Iterator[Problem]:
    calls = backend.calls
    if "passkey_list" in calls and "passkey_register" not in calls:
        yield "BACKEND_PASSKEY_REGISTER", "is required if BACKEND_PASSKEY_LIST is set: the list is on its page"
    if remove := calls.get("passkey_remove"):
        if "passkey_list" not in calls:
            yield "BACKEND_PASSKEY_LIST", "is required if BACKEND_PASSKEY_REMOVE is set"
        if "passkey" not in placeholders_of(remove):
            part = "_PATH" if remove.body is None else "_BODY"
            yield f"BACKEND_PASSKEY_REMOVE{part}", "must use {passkey}"


def _token_problems(backend: Backend) -> Iterator[Problem]:
    user, refresh = backend.calls.get("user"), backend.calls.get("refresh")
    if user and not backend.token_header and "token" not in placeholders_of(user):
        yield "BACKEND_TOKEN_HEADER", "must not be none, unless BACKEND_USER_BODY or BACKEND_USER uses {token}"
    if refresh and backend.refresh_token and "refresh_token" not in placeholders_of(refresh):
        yield "BACKEND_REFRESH_SEND", "is required: the refresh call does not send {refresh_token}"
    for name, call in backend.calls.items():
        if "refresh_token" in placeholders_of(call) and not backend.refresh_token:
            yield "BACKEND_REFRESH_TOKEN", f"is required: the {name} call sends {{refresh_token}}"


def setting_names(backend: Backend) -> list[str]:
    """The settings that only the templates of a backend use."""
    calls = [*backend.calls.values(), *backend.next_step.calls.values()]
    placeholder_sets = [
        placeholders(backend.headers),
        placeholders(backend.next_step.trust_headers),
        *map(placeholders_of, calls),
    ]
    names = frozenset().union(*placeholder_sets) - {"BACKEND_EVENTS_TOKEN"}  # a setting of the site
    return sorted(name for name in names if is_setting(name))
