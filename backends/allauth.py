"""django-allauth, headless with its app client and session tokens."""

from backends.base import Answer, Backend, Call, FieldErrors, Meaning, Rule


def _classify(answer: Answer) -> Meaning | None:
    """A 401 lists the flows that the person can go on with; the pending one says what is missing."""
    flows = answer.get("data.flows")
    flows = [flow for flow in flows if isinstance(flow, dict)] if isinstance(flows, list) else []
    pending = [flow.get("id") for flow in flows if flow.get("is_pending")]
    if "verify_email" in pending:
        return Meaning.NOT_VERIFIED
    return Meaning.NEXT_STEP if pending else None


backend = Backend(
    id="allauth",
    login=Call("POST", "/_allauth/app/v1/auth/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/_allauth/app/v1/auth/session"),
    logout=Call("DELETE", "/_allauth/app/v1/auth/session"),  # answers 401: nobody is signed in any more
    token="meta.session_token",
    token_header="X-Session-Token: {token}",
    user_at="data.user",
    user_fields={"id": "id", "name": "display", "email": "email"},
    classify=_classify,
    meanings=(
        Rule(400, "errors.0.code", "too_many_login_attempts", Meaning.THROTTLED),
        Rule(410, "*", ..., Meaning.SESSION_OVER),
    ),
    field_errors=FieldErrors("errors", status=400),
    message="errors.0.message",
)
