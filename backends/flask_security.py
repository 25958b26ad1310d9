"""Flask-Security-Too. It has no call that returns the user: add a route `/me` that does."""

from collections.abc import Mapping

from backends.base import METHOD_NAMES, Answer, Backend, Call, FieldErrors, Meaning, Method, NextStep, Rule

# These refusals have no code, only a text in the language of the person. There is no Korean translation.
_NOT_VERIFIED = (
    "Email requires confirmation.",
    "Die E-Mail-Adresse muss bestätigt werden.",
    "El correo electrónico requiere confirmación.",
    "Une confirmation de l'adresse email est requise.",
    "メールアドレスの検証が必要です",
    "请先激活邮箱。",
)
_LOCKED = ("Account is disabled.", "アカウントが無効になっています")

_STEP_OVER = "You currently do not have permissions to access this page"


def _read_methods(answer: Answer) -> Mapping[str, Method]:
    """The method that is set up. To set one up, or to choose among several, people need the backend's own pages."""
    name = answer.get("response.tf_method")
    return {name: METHOD_NAMES[name]} if isinstance(name, str) and name in METHOD_NAMES else {}


backend = Backend(
    id="flask-security",
    login=Call("POST", "/login?include_auth_token", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/me"),
    logout=Call("POST", "/logout", {}),
    verify=Call(
        "POST", "/tf-validate?include_auth_token", {"code": "{code}"}, headers={"Cookie": "session={challenge}"}
    ),
    next_step=NextStep(challenge="cookie:session", read_methods=_read_methods),
    register=Call("POST", None, {"email": "{identifier}", "password": "{password}", "password_confirm": "{password}"}),
    forgot=Call("POST", None, {"email": "{identifier}"}),
    reset=Call("POST", None, {"password": "{new_password}", "password_confirm": "{new_password}"}),
    resend_verification=Call("POST", None, {"email": "{identifier}"}),
    change_password=Call(
        "POST",
        None,
        {"password": "{password}", "new_password": "{new_password}", "new_password_confirm": "{new_password}"},
    ),
    min_password_length=8,
    token="response.user.authentication_token",
    token_header="Authentication-Token: {token}",
    meanings=(
        Rule(200, "response.tf_required", value=True, meaning=Meaning.NEXT_STEP),
        Rule(400, "response.errors.0", _STEP_OVER, Meaning.STEP_OVER),
        Rule(400, "response.field_errors.email.0", _NOT_VERIFIED, Meaning.NOT_VERIFIED),
        Rule(400, "response.field_errors.email.0", _LOCKED, Meaning.LOCKED),
    ),
    field_errors=FieldErrors("response.field_errors", status=400),
    message="response.errors.0",
    logout_revokes=False,
)
