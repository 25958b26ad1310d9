"""django-allauth, headless with its app client and session tokens."""

from collections.abc import Mapping

from backends.base import METHOD_NAMES, Answer, Backend, Call, FieldErrors, Meaning, Method, NextStep, Passkeys, Rule

_AUTH = "/_allauth/app/v1/auth"
_PASSKEYS = "/_allauth/app/v1/account/authenticators/webauthn"
_CHALLENGE = {"X-Session-Token": "{challenge}"}


def _pending(answer: Answer) -> Mapping[str, object]:
    """The pending flows of a 401, which say what is missing."""
    flows = answer.get_objects("data.flows")
    return {str(flow.get("id")): flow.get("types") for flow in flows if flow.get("is_pending")}


def _classify(answer: Answer) -> Meaning | None:
    pending = _pending(answer)
    if "verify_email" in pending:
        return Meaning.NOT_VERIFIED
    return Meaning.NEXT_STEP if pending else None


def _read_methods(answer: Answer) -> Mapping[str, Method]:
    pending = _pending(answer)
    if "login_by_code" in pending:
        return {"login_by_code": Method.TEXT}
    types = pending.get("mfa_authenticate")
    names = [name for name in types if isinstance(name, str)] if isinstance(types, list) else []
    return {name: METHOD_NAMES[name] for name in sorted(names, reverse=True) if name in METHOD_NAMES}


backend = Backend(
    id="allauth",
    login=Call("POST", f"{_AUTH}/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", f"{_AUTH}/session"),
    logout=Call("DELETE", f"{_AUTH}/session"),  # answers 401: the session has ended
    verify=Call("POST", f"{_AUTH}/2fa/authenticate", {"code": "{code}"}, headers=_CHALLENGE),
    next_step=NextStep(
        challenge="meta.session_token",
        read_methods=_read_methods,
        calls={"login_by_code": Call("POST", f"{_AUTH}/code/confirm", {"code": "{code}"}, headers=_CHALLENGE)},
    ),
    passkey_options=Call("GET", f"{_AUTH}/webauthn/login"),
    passkey=Call("POST", f"{_AUTH}/webauthn/login", {"credential": "{credential}"}, headers=_CHALLENGE),
    confirm_password=Call("POST", f"{_AUTH}/reauthenticate", {"password": "{password}"}),
    passkey_register_options=Call("GET", f"{_PASSKEYS}?passwordless"),
    passkey_register=Call("POST", _PASSKEYS, {"credential": "{credential}", "name": "{device}"}),
    passkey_list=Call("GET", "/_allauth/app/v1/account/authenticators"),  # of the others, no one has an id
    passkey_remove=Call("DELETE", _PASSKEYS, {"authenticators": ["{passkey}"]}),
    passkeys=Passkeys("data.request_options", "data.creation_options", "meta.session_token", "data"),
    register=Call("POST", f"{_AUTH}/signup", {"email": "{identifier}", "password": "{password}"}),
    forgot=Call("POST", f"{_AUTH}/password/request", {"email": "{identifier}"}),
    reset=Call("POST", f"{_AUTH}/password/reset", {"key": "{code}", "password": "{new_password}"}),
    verify_email=Call("POST", f"{_AUTH}/email/verify", {"key": "{code}"}),
    change_password=Call(
        "POST",
        "/_allauth/app/v1/account/password/change",
        {"current_password": "{password}", "new_password": "{new_password}"},
    ),
    done={"reset": (401,), "verify_email": (401,)},  # successful, without a session
    min_password_length=8,
    token="meta.session_token",
    token_header="X-Session-Token: {token}",
    user_at="data.user",
    user_fields={"id": "id", "name": "display", "email": "email"},
    classify=_classify,
    meanings=(
        Rule(400, "errors.0.code", "too_many_login_attempts", Meaning.THROTTLED),
        Rule(400, "errors.0.code", "incorrect_code", Meaning.WRONG_CREDENTIALS),
        Rule(401, "meta.is_authenticated", value=True, meaning=Meaning.SIGN_IN_AGAIN),
        Rule(401, "meta.is_authenticated", None, Meaning.STEP_OVER),
        Rule(401, "meta.is_authenticated", value=False, meaning=Meaning.STEP_OVER),
        Rule(410, "*", ..., Meaning.SESSION_OVER),
    ),
    field_errors=FieldErrors("errors", status=400),
    message="errors.0.message",
)
