"""Better Auth with its bearer plugin, below `/api/auth`."""

from backends.base import Backend, Call, Meaning, Method, NextStep, Passkeys, Rule

_STEP = "/api/auth/two-factor"
_SOCIAL = {"provider": "{provider}", "idToken": {"token": "{id_token}", "accessToken": "{access_token}"}}
_CODE = {"code": "{code}", "trustDevice": "{trust}"}
# It knows the sign-in by a cookie, whose name has a prefix over https, and wants the Origin with any cookie.
_COOKIE = "better-auth.two_factor={challenge}; __Secure-better-auth.two_factor={challenge}"
_HEADERS = {"Cookie": _COOKIE, "Origin": "{BACKEND_ORIGIN}"}
_PASSKEY = "/api/auth/passkey"
_PASSKEY_COOKIE = "better-auth.better-auth-passkey={challenge}; __Secure-better-auth.better-auth-passkey={challenge}"
_PASSKEY_HEADERS = _HEADERS | {"Cookie": _PASSKEY_COOKIE}
_NEW_PASSKEY = {"response": "{credential}", "name": "{device}"}
_TRUSTED = "better-auth.trust_device={trust_token}; __Secure-better-auth.trust_device={trust_token}"

backend = Backend(
    id="better-auth",
    login=Call("POST", "/api/auth/sign-in/email", {"email": "{identifier}", "password": "{password}"}),
    social=Call("POST", "/api/auth/sign-in/social", _SOCIAL),
    user=Call("GET", "/api/auth/get-session"),
    logout=Call("POST", "/api/auth/sign-out", {}),
    profile=Call("POST", "/api/auth/update-user", {"name": "{name}"}),
    verify=Call("POST", f"{_STEP}/verify-{{method}}", _CODE, headers=_HEADERS),
    verify_recovery_code=Call("POST", f"{_STEP}/verify-backup-code", _CODE, headers=_HEADERS),
    resend=Call("POST", f"{_STEP}/send-otp", {}, headers=_HEADERS),
    next_step=NextStep(
        challenge="cookie:better-auth.two_factor|cookie:__Secure-better-auth.two_factor",
        methods="twoFactorMethods",
        resend_first=(Method.SENT,),
        trust=True,
        trust_token="cookie:better-auth.trust_device|cookie:__Secure-better-auth.trust_device",
        trust_headers={"Cookie": _TRUSTED, "Origin": "{BACKEND_ORIGIN}"},
    ),
    passkey_options=Call("GET", f"{_PASSKEY}/generate-authenticate-options"),
    passkey=Call("POST", f"{_PASSKEY}/verify-authentication", {"response": "{credential}"}, headers=_PASSKEY_HEADERS),
    passkey_register_options=Call("GET", f"{_PASSKEY}/generate-register-options"),
    passkey_register=Call("POST", f"{_PASSKEY}/verify-registration", _NEW_PASSKEY, headers=_PASSKEY_HEADERS),
    passkey_list=Call("GET", f"{_PASSKEY}/list-user-passkeys"),
    passkey_remove=Call("POST", f"{_PASSKEY}/delete-passkey", {"id": "{passkey}"}),
    passkeys=Passkeys(
        challenge="cookie:better-auth.better-auth-passkey|cookie:__Secure-better-auth.better-auth-passkey",
        fields={"id": "id", "name": "name", "created_at": "createdAt"},
    ),
    register=Call(
        "POST", "/api/auth/sign-up/email", {"name": "{name}", "email": "{identifier}", "password": "{password}"}
    ),
    forgot=Call("POST", "/api/auth/request-password-reset", {"email": "{identifier}"}),
    reset=Call("POST", "/api/auth/reset-password", {"token": "{code}", "newPassword": "{new_password}"}),
    verify_email=Call("GET", "/api/auth/verify-email?token={code}"),
    resend_verification=Call("POST", "/api/auth/send-verification-email", {"email": "{identifier}"}),
    change_password=Call(
        "POST",
        "/api/auth/change-password",
        {"currentPassword": "{password}", "newPassword": "{new_password}", "revokeOtherSessions": True},
    ),
    min_password_length=8,
    link=Call("POST", "/api/auth/link-social", _SOCIAL),
    unlink=Call("POST", "/api/auth/unlink-account", {"accountId": "{account}"}),
    links=Call("GET", "/api/auth/list-accounts"),
    links_at="body",
    links_fields={"provider": "providerId", "account": "id"},
    token="token|session.token|header:set-auth-token",
    user_at="user",
    meanings=(
        Rule(200, "body", None, Meaning.SESSION_OVER),
        Rule(200, "twoFactorRedirect", value=True, meaning=Meaning.NEXT_STEP),  # although it sends a token
        Rule(400, "code", "VALIDATION_ERROR", Meaning.CONFIGURATION),  # a field is missing
        Rule(400, "code", "OTP_HAS_EXPIRED", Meaning.CODE_EXPIRED),
        Rule(400, "code", "TOO_MANY_ATTEMPTS_REQUEST_NEW_CODE", Meaning.STEP_OVER),
        Rule(400, "code", "CHALLENGE_NOT_FOUND", Meaning.STEP_OVER),
        Rule(403, "code", "SESSION_NOT_FRESH", Meaning.SIGN_IN_AGAIN),
        Rule(401, "code", "INVALID_TWO_FACTOR_COOKIE", Meaning.STEP_OVER),
        Rule(422, "code", "USER_ALREADY_EXISTS*", Meaning.TAKEN),
        Rule(400, "code", ("PASSWORD_TOO_SHORT", "PASSWORD_TOO_LONG"), Meaning.WEAK_PASSWORD),
        Rule(403, "code", ("INVALID_ORIGIN", "MISSING_OR_NULL_ORIGIN"), Meaning.CONFIGURATION),
    ),
    retry_after="header:X-Retry-After",
)
