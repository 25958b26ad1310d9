"""dj-rest-auth with JWTs: the refresh token is in a cookie, or in JSON with `JWT_AUTH_HTTPONLY = False`."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

_PASSWORD = "/dj-rest-auth/password"
_NEW_PASSWORD = {"new_password1": "{new_password}", "new_password2": "{new_password}"}
# Refusals differ by their texts alone, which are in the language of the person or in `LANGUAGE_CODE`.
_MISSING_FIELD = (
    "Must include*",
    "Debe incluir*",
    "Doit inclure*",
    "Muss *",
    "比如包含*",
    '"*',  # in Korean and Japanese, the names of the fields come first, in quotes
    "「*",
)
_NOT_VERIFIED = (
    "E-mail is not verified.",
    "E-Mail Adresse ist nicht verifiziert.",
    "El correo electrónico no ha sido verificado.",
    "L’adresse email n’a pas été vérifiée.",
    "メールは検証されていません。",
    "이메일 주소가 확인되지 않았습니다.",
    "邮箱未验证。",
)

backend = Backend(
    id="dj-rest-auth",
    login=Call("POST", "/dj-rest-auth/login/", {"email": "{identifier}", "password": "{password}"}),
    social=Call("POST", "/dj-rest-auth/{provider}/", {"access_token": "{access_token}", "id_token": "{id_token}"}),
    user=Call("GET", "/dj-rest-auth/user/"),
    refresh=Call("POST", "/dj-rest-auth/token/refresh/", {"refresh": "{refresh_token}"}),
    logout=Call(
        "POST",
        "/dj-rest-auth/logout/",
        {"refresh": "{refresh_token}"},
        headers={"Cookie": "my-refresh-token={refresh_token}"},
    ),
    register=Call(
        "POST",
        "/dj-rest-auth/registration/",
        {"email": "{identifier}", "password1": "{password}", "password2": "{password}"},
    ),
    forgot=Call("POST", f"{_PASSWORD}/reset/", {"email": "{identifier}"}),
    reset=Call("POST", f"{_PASSWORD}/reset/confirm/", {"uid": "{uid}", "token": "{code}", **_NEW_PASSWORD}),
    verify_email=Call("POST", "/dj-rest-auth/registration/verify-email/", {"key": "{code}"}),
    resend_verification=Call("POST", "/dj-rest-auth/registration/resend-email/", {"email": "{identifier}"}),
    change_password=Call("POST", f"{_PASSWORD}/change/", {"old_password": "{password}", **_NEW_PASSWORD}),
    checks_current_password=False,  # only with `OLD_PASSWORD_FIELD_ENABLED`
    min_password_length=8,
    token="access",
    refresh_token="refresh|cookie:my-refresh-token",
    user_fields={"id": "pk", "name": "first_name+last_name|username", "email": "email"},
    meanings=(
        Rule(400, "non_field_errors.0", _NOT_VERIFIED, Meaning.NOT_VERIFIED),
        Rule(400, "non_field_errors.0", _MISSING_FIELD, Meaning.CONFIGURATION),
    ),
    field_errors=FieldErrors("body", status=400),
    message="non_field_errors.0|detail",
    logout_done=(),  # 401: the refresh token was missing or not accepted
    logout_revokes=False,
)
