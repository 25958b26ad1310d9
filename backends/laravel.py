"""Laravel with Sanctum, as docs/laravel.md builds it. The default."""

from backends.base import SIGN_UP_BODY, Backend, Call, Meaning, NextStep, Rule

_SIGN_UP_STATUSES = (200, 409, 422)
_CHALLENGE = {"challenge": "{challenge}", "method": "{method}"}
_NEW_PASSWORD = {"password": "{new_password}", "password_confirmation": "{new_password}"}

backend = Backend(
    id="laravel",
    headers={"Content-Type": "application/json"},
    login=Call("POST", "/login", {"email": "{identifier}", "password": "{password}"}),
    social=Call(
        "POST",
        "/login/social/callback/{provider}",
        {"social_token": "{social_token}", "email": "{email}", "unsigned_name": "{unsigned_name}"},
    ),
    social_register=Call("POST", "/login/social/register", {"challenge": "{challenge}", **SIGN_UP_BODY}),
    user=Call("POST", "/user"),
    logout=Call("POST", None),
    profile=Call("PATCH", None, {"name": "{name}", "nick_name": "{nick_name}"}),
    register=Call(
        "POST",
        None,
        {"name": "{name}", "email": "{identifier}", "password": "{password}", "password_confirmation": "{password}"},
    ),
    forgot=Call("POST", None, {"email": "{identifier}"}),
    reset=Call("POST", None, {"token": "{code}", "email": "{identifier}", **_NEW_PASSWORD}),
    verify_email=Call("POST", None, {"token": "{code}"}),
    resend_verification=Call("POST", None, {"email": "{identifier}"}),
    change_password=Call("PUT", None, {"current_password": "{password}", **_NEW_PASSWORD}),
    link=Call("POST", None, {"provider": "{provider}", "social_token": "{social_token}", "email": "{email}"}),
    unlink=Call("DELETE", None),  # its path has {provider}
    links=Call("GET", None),
    links_at="data.providers|data.user.providers",
    min_password_length=8,
    verify=Call("POST", "/two-factor-challenge", {**_CHALLENGE, "code": "{code}", "trust": "{trust}"}),
    verify_recovery_code=Call("POST", "/two-factor-challenge", {"challenge": "{challenge}", "recovery_code": "{code}"}),
    resend=Call("POST", "/two-factor-challenge/resend", _CHALLENGE),
    next_step=NextStep(
        challenge="challenge",
        methods="methods",
        sent_to="sent_to",
        resend_after="resend_after",
        url="url",
        fields="fields",
        trust=True,
        trust_token="trust_token",
        trust_headers={"X-Trust-Token": "{trust_token}"},
    ),
    token="data.token.plainTextToken",
    user_at="data.user",
    meanings=(
        Rule(200, "two_factor", value=True, meaning=Meaning.NEXT_STEP),
        *(Rule(status, "register", value=True, meaning=Meaning.FIELDS_REQUIRED) for status in _SIGN_UP_STATUSES),
        Rule(422, "error", "code_expired", Meaning.CODE_EXPIRED),
    ),
)
