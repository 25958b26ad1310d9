"""Parse Server, below `/parse`. `BACKEND_CLIENT_ID` is its application id."""

import settings_readers as read
from backends.base import Backend, Call, Meaning, Rule
from settings_readers import SettingSpec

backend = Backend(
    id="parse",
    headers={"X-Parse-Application-Id": "{BACKEND_CLIENT_ID}", "X-Parse-REST-API-Key": "{BACKEND_API_KEY}"},
    login=Call("POST", "/parse/login", {"username": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/parse/users/me"),
    logout=Call("POST", "/parse/logout"),
    token="sessionToken",
    token_header="X-Parse-Session-Token: {token}",
    user_fields={"id": "objectId", "name": "username", "email": "email"},
    meanings=(
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
