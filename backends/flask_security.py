"""Flask-Security-Too. It has no call that returns the user: add a route `/me` that does."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

# These refusals have no code, only a text in the language of the person. There is no Korean translation.
_NOT_VERIFIED = ("Email requires confirmation.", "メールアドレスの検証が必要です")
_LOCKED = ("Account is disabled.", "アカウントが無効になっています")

backend = Backend(
    id="flask-security",
    login=Call("POST", "/login?include_auth_token", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/me"),
    logout=Call("POST", "/logout", {}),
    token="response.user.authentication_token",
    token_header="Authentication-Token: {token}",
    meanings=(
        Rule(200, "response.tf_required", value=True, meaning=Meaning.NEXT_STEP),
        *(Rule(400, "response.field_errors.email.0", text, Meaning.NOT_VERIFIED) for text in _NOT_VERIFIED),
        *(Rule(400, "response.field_errors.email.0", text, Meaning.LOCKED) for text in _LOCKED),
    ),
    field_errors=FieldErrors("response.field_errors", status=400),
    message="response.errors.0",
    logout_revokes=False,
)
