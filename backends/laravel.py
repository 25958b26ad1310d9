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
    token="data.token.plainTextToken",
    user_at="data.user",
)
