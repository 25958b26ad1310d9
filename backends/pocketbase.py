"""PocketBase, with the collection `users`. It has no call for the user alone: `auth-refresh` returns it too."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

_USERS = "/api/collections/users"

backend = Backend(
    id="pocketbase",
    login=Call("POST", f"{_USERS}/auth-with-password", {"identity": "{identifier}", "password": "{password}"}),
    user=Call("POST", f"{_USERS}/auth-refresh"),
    refresh=Call("POST", f"{_USERS}/auth-refresh"),
    profile=Call("PATCH", f"{_USERS}/records/{{user_id}}", {"name": "{name}"}),
    register=Call(
        "POST",
        f"{_USERS}/records",
        {"email": "{identifier}", "password": "{password}", "passwordConfirm": "{password}", "name": "{name}"},
    ),
    forgot=Call("POST", f"{_USERS}/request-password-reset", {"email": "{identifier}"}),
    reset=Call(
        "POST",
        f"{_USERS}/confirm-password-reset",
        {"token": "{code}", "password": "{new_password}", "passwordConfirm": "{new_password}"},
    ),
    verify_email=Call("POST", f"{_USERS}/confirm-verification", {"token": "{code}"}),
    resend_verification=Call("POST", f"{_USERS}/request-verification", {"email": "{identifier}"}),
    change_password=Call(
        "PATCH",
        f"{_USERS}/records/{{user_id}}",
        {"oldPassword": "{password}", "password": "{new_password}", "passwordConfirm": "{new_password}"},
    ),
    min_password_length=8,
    token="token",
    user_at="record|body",
    user_fields={"id": "id", "name": "name", "nick_name": "username", "email": "email"},
    meanings=(
        Rule(401, "mfaId", ..., Meaning.NEXT_STEP),
        Rule(404, "*", ..., Meaning.SESSION_OVER),  # the account is gone
    ),
    field_errors=FieldErrors("data", status=400),
)
