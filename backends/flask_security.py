"""Flask-Security-Too. It has no call that returns the user: add a route `/me` that does."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

backend = Backend(
    id="flask-security",
    login=Call("POST", "/login?include_auth_token", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/me"),
    logout=Call("POST", "/logout", {}),
    token="response.user.authentication_token",
    token_header="Authentication-Token: {token}",
    meanings=(
        Rule(200, "response.tf_required", value=True, meaning=Meaning.NEXT_STEP),
        Rule(400, "response.field_errors.email.0", "Email requires confirmation.", Meaning.NOT_VERIFIED),
        Rule(400, "response.field_errors.email.0", "Account is disabled.", Meaning.LOCKED),
    ),
    field_errors=FieldErrors("response.field_errors", status=400),
    message="response.errors.0",
    logout_revokes=False,
)
