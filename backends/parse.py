"""Parse Server, below `/parse`. `BACKEND_CLIENT_ID` is its application id."""

import settings_readers as read
from backends.base import Backend, Call, Meaning, Rule
from settings_readers import SettingSpec

# Without codes of their own; RestWrite.js has the texts.
_WEAK_PASSWORD = ("Password does not meet*", "Password cannot contain*", "New password should not be*")

backend = Backend(
    id="parse",
    headers={"X-Parse-Application-Id": "{BACKEND_CLIENT_ID}", "X-Parse-REST-API-Key": "{BACKEND_API_KEY}"},
    login=Call("POST", "/parse/login", {"username": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/parse/users/me"),
    logout=Call("POST", "/parse/logout"),
    register=Call("POST", "/parse/users", {"username": "{identifier}", "email": "{email}", "password": "{password}"}),
    forgot=Call("POST", "/parse/requestPasswordReset", {"email": "{email}"}),
    # The form of its own page, which answers a script with JSON. That of the verification answers with HTML only.
    reset=Call(
        "POST",
        "/parse/apps/{BACKEND_CLIENT_ID}/request_password_reset",
        {"token": "{code}", "new_password": "{new_password}"},
        form=True,
        headers={"X-Requested-With": "XMLHttpRequest"},
    ),
    resend_verification=Call("POST", "/parse/verificationEmailRequest", {"email": "{email}"}),
    change_password=Call("PUT", "/parse/users/{user_id}", {"password": "{new_password}"}),
    checks_current_password=False,
    token="sessionToken",
    token_header="X-Parse-Session-Token: {token}",
    user_fields={"id": "objectId", "name": "username", "email": "email"},
    meanings=(
        Rule(400, "code", (202, 203), Meaning.TAKEN),
        Rule(400, "error", _WEAK_PASSWORD, Meaning.WEAK_PASSWORD),
        Rule(400, "code", 205, Meaning.NOT_VERIFIED),
        Rule(400, "code", 209, Meaning.SESSION_OVER),
        Rule(403, "error", "unauthorized", Meaning.CONFIGURATION),
        Rule(404, "error", "Your account is locked*", Meaning.LOCKED),
    ),
    message="error",
    settings={
        "BACKEND_CLIENT_ID": SettingSpec(read.credential, "<the application id>", required=True),
        "BACKEND_API_KEY": SettingSpec(read.credential, "<the REST API key>", secret=True),
    },
)
