"""Strapi with its plugin users-permissions. Refresh tokens need `jwtManagement: "refresh"`."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

backend = Backend(
    id="strapi",
    login=Call("POST", "/api/auth/local", {"identifier": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/api/auth/refresh", {"refreshToken": "{refresh_token}"}),
    logout=Call("POST", "/api/auth/logout", {}),
    register=Call(
        "POST",
        "/api/auth/local/register",
        {"username": "{identifier}", "email": "{email}", "password": "{password}"},
    ),
    forgot=Call("POST", "/api/auth/forgot-password", {"email": "{email}"}),
    reset=Call(
        "POST",
        "/api/auth/reset-password",
        {"code": "{code}", "password": "{new_password}", "passwordConfirmation": "{new_password}"},
    ),
    verify_email=Call("GET", "/api/auth/email-confirmation?confirmation={code}"),
    resend_verification=Call("POST", "/api/auth/send-email-confirmation", {"email": "{email}"}),
    change_password=Call(
        "POST",
        "/api/auth/change-password",
        {"currentPassword": "{password}", "password": "{new_password}", "passwordConfirmation": "{new_password}"},
    ),
    mail_link_parameters={"code": "code|confirmation"},
    done={"verify_email": (302,)},  # it redirects to the page that is set in its admin panel
    min_password_length=6,
    token="jwt",
    refresh_token="refreshToken",
    user_fields={"id": "id", "name": "username", "email": "email"},
    meanings=(
        Rule(400, "error.message", "Your account email is not confirmed", Meaning.NOT_VERIFIED),
        Rule(400, "error.message", "Your account has been blocked*", Meaning.LOCKED),
        Rule(400, "error.message", "Email or Username are already taken", Meaning.TAKEN),
        Rule(400, "error.message", "Register action is currently disabled", Meaning.CLOSED),
        Rule(400, "error.message", "Your new password must be different*", Meaning.WEAK_PASSWORD),
        Rule(403, "error.name", "ForbiddenError", Meaning.CONFIGURATION),  # the role lacks the permission for `me`
    ),
    field_errors=FieldErrors("error.details.errors", status=400),
    message="error.message",
    retry_after="header:X-RateLimit-Reset",
    logout_done=(401, 404),  # 404: without refresh tokens there is no logout
    logout_revokes=False,
)
