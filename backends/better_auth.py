"""Better Auth with its bearer plugin, below `/api/auth`."""

from backends.base import Backend, Call, Meaning, Rule

backend = Backend(
    id="better-auth",
    login=Call("POST", "/api/auth/sign-in/email", {"email": "{identifier}", "password": "{password}"}),
    social=Call("POST", "/api/auth/sign-in/social", {"provider": "{provider}", "idToken": {"token": "{social_token}"}}),
    user=Call("GET", "/api/auth/get-session"),
    logout=Call("POST", "/api/auth/sign-out", {}),
    profile=Call("POST", "/api/auth/update-user", {"name": "{name}"}),
    token="token|header:set-auth-token",
    user_at="user",
    meanings=(
        Rule(200, "body", None, Meaning.SESSION_OVER),
        Rule(200, "twoFactorRedirect", value=True, meaning=Meaning.NEXT_STEP),  # although it sends a token
        Rule(400, "code", "VALIDATION_ERROR", Meaning.CONFIGURATION),  # a field is missing
        Rule(403, "code", "INVALID_ORIGIN", Meaning.CONFIGURATION),
    ),
    retry_after="header:X-Retry-After",
)
