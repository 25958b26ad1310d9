"""Directus. The role of the users needs permission to read their own names and address."""

from backends.base import Backend, Call, Meaning, Rule

backend = Backend(
    id="directus",
    login=Call("POST", "/auth/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/users/me?fields=id,first_name,last_name,email"),
    refresh=Call("POST", "/auth/refresh", {"refresh_token": "{refresh_token}", "mode": "json"}),
    logout=Call("POST", "/auth/logout", {"refresh_token": "{refresh_token}", "mode": "json"}),
    verify=Call("POST", "/auth/login", {"email": "{identifier}", "password": "{password}", "otp": "{code}"}),
    # The links of its mails lead to these addresses, if USER_REGISTER_URL_ALLOW_LIST and PASSWORD_RESET_URL_ALLOW_LIST
    # have them.
    register=Call(
        "POST",
        "/users/register",
        {
            "email": "{identifier}",
            "password": "{password}",
            "first_name": "{name}",
            "verification_url": "{site_url}/auth/email/verify",
        },
    ),
    forgot=Call(
        "POST", "/auth/password/request", {"email": "{identifier}", "reset_url": "{site_url}/auth/password/reset"}
    ),
    reset=Call("POST", "/auth/password/reset", {"token": "{code}", "password": "{new_password}"}),
    verify_email=Call("GET", "/users/register/verify-email?token={code}"),
    change_password=Call("PATCH", None, {"password": "{new_password}"}),
    done={"verify_email": (302,)},  # it redirects to its Data Studio
    checks_current_password=False,
    ends_refresh_token_with_password=True,
    token="data.access_token",
    refresh_token="data.refresh_token",
    expires="data.expires:ms",
    user_at="data",
    user_fields={"id": "id", "name": "first_name+last_name", "email": "email"},
    meanings=(
        Rule(401, "errors.0.extensions.code", "INVALID_OTP", Meaning.NEXT_STEP),
        Rule(400, "errors.0.extensions.field", "password", Meaning.WEAK_PASSWORD),
        Rule(400, "errors.0.message", "Invalid payload. URL *", Meaning.CONFIGURATION),
    ),
    message="errors.0.message",
    logout_revokes=False,
)
