"""Laravel with Sanctum, as docs/laravel.md builds it. The default."""

from backends.base import Backend, Call

backend = Backend(
    id="laravel",
    headers={"Content-Type": "application/json"},
    login=Call("POST", "/login", {"email": "{identifier}", "password": "{password}"}),
    social=Call("POST", "/login/social/callback/{provider}", {"social_token": "{social_token}", "email": "{email}"}),
    user=Call("POST", "/user"),
    logout=Call("POST", None),
    profile=Call("PATCH", None, {"name": "{name}", "nick_name": "{nick_name}"}),
    register=Call(
        "POST",
        None,
        {"name": "{name}", "email": "{identifier}", "password": "{password}", "password_confirmation": "{password}"},
    ),
    forgot=Call("POST", None, {"email": "{identifier}"}),
    reset=Call(
        "POST",
        None,
        {
            "token": "{code}",
            "email": "{identifier}",
            "password": "{new_password}",
            "password_confirmation": "{new_password}",
        },
    ),
    verify_email=Call("POST", None, {"token": "{code}"}),
    resend_verification=Call("POST", None, {"email": "{identifier}"}),
    change_password=Call(
        "PUT",
        None,
        {
            "current_password": "{password}",
            "password": "{new_password}",
            "password_confirmation": "{new_password}",
        },
    ),
    min_password_length=8,
    token="data.token.plainTextToken",
    user_at="data.user",
)
