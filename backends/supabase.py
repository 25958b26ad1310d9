"""Supabase Auth (GoTrue). Every call needs the project's anon key."""

from collections.abc import Mapping

import settings_readers as read
from backends.base import METHOD_NAMES, Answer, Backend, Call, Meaning, Method, NextStep, Rule
from settings_readers import SettingSpec

_LOGIN = {"email": "{identifier}", "password": "{password}"}
_SOCIAL = {"provider": "{provider}", "id_token": "{id_token}", "access_token": "{access_token}"}
_WRONG_SETTINGS = ("validation_failed", "email_provider_disabled", "reauthentication_needed")
_CALL = "/auth/v1/factors/{method}"
_BEARER = {"Authorization": "Bearer {challenge}"}  # a token of the level aal1, before the second factor


def _read_methods(answer: Answer) -> Mapping[str, Method]:
    """The factors that the person has verified, by their ids."""
    factors = [factor for factor in answer.get_objects("user.factors") if factor.get("status") == "verified"]
    kinds = {str(factor.get("id")): str(factor.get("factor_type")) for factor in factors}
    return {name: METHOD_NAMES[kind] for name, kind in kinds.items() if kind in METHOD_NAMES}


def _classify(answer: Answer) -> Meaning | None:
    """A sign-in by password gives a token of the level aal1, in the claim `aal`; a right code one of aal2."""
    is_first = answer.get_jwt_claims("access_token").get("aal") == "aal1"
    return Meaning.NEXT_STEP if is_first and _read_methods(answer) else None


backend = Backend(
    id="supabase",
    headers={"apikey": "{BACKEND_API_KEY}"},
    login=Call("POST", "/auth/v1/token?grant_type=password", _LOGIN),
    social=Call("POST", "/auth/v1/token?grant_type=id_token", _SOCIAL),
    user=Call("GET", "/auth/v1/user"),
    refresh=Call("POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": "{refresh_token}"}),
    logout=Call("POST", "/auth/v1/logout?scope=local"),  # without the scope, all devices are signed out
    profile=Call("PUT", "/auth/v1/user", {"data": {"full_name": "{name}", "name": "{nick_name}"}}),
    verify=Call("POST", f"{_CALL}/verify", {"challenge_id": "{ticket}", "code": "{code}"}, headers=_BEARER),
    resend=Call("POST", f"{_CALL}/challenge", {}, headers=_BEARER),
    register=Call("POST", "/auth/v1/signup", {**_LOGIN, "data": {"full_name": "{name}"}}),
    verify_email=Call("POST", "/auth/v1/verify", {"type": "signup", "token_hash": "{code}"}),
    resend_verification=Call("POST", "/auth/v1/resend", {"type": "signup", "email": "{identifier}"}),
    # It looks at the current password only with GOTRUE_SECURITY_UPDATE_PASSWORD_REQUIRE_CURRENT_PASSWORD.
    change_password=Call("PUT", "/auth/v1/user", {"current_password": "{password}", "password": "{new_password}"}),
    checks_current_password=False,
    mail_link_parameters={"code": "token_hash"},
    min_password_length=6,
    next_step=NextStep(
        challenge="access_token", ticket="id", read_methods=_read_methods, resend_first=(Method.APP, Method.SMS)
    ),
    classify=_classify,
    token="access_token",
    refresh_token="refresh_token",
    expires="expires_in:s",
    refresh_reuse_seconds=10,  # GoTrue's default for `GOTRUE_SECURITY_REFRESH_TOKEN_REUSE_INTERVAL`
    user_fields={"id": "id", "name": "user_metadata.full_name", "nick_name": "user_metadata.name", "email": "email"},
    meanings=(
        Rule(400, "error_code", "email_not_confirmed", Meaning.NOT_VERIFIED),
        Rule(400, "error_code", "user_banned", Meaning.LOCKED),
        Rule(400, "msg", "Password cannot be longer*", Meaning.WEAK_PASSWORD),
        Rule(400, "error_code", _WRONG_SETTINGS, Meaning.CONFIGURATION),
        Rule(422, "error_code", "signup_disabled", Meaning.CLOSED),
        Rule(422, "error_code", "user_already_exists", Meaning.TAKEN),  # only without verification
        Rule(422, "error_code", ("weak_password", "same_password"), Meaning.WEAK_PASSWORD),
        Rule(422, "error_code", "mfa_challenge_expired", Meaning.STEP_OVER),
        Rule(401, "message", "No API key found in request", Meaning.CONFIGURATION),
        Rule(403, "error_code", ("bad_jwt", "session_not_found"), Meaning.SESSION_OVER),
    ),
    message="msg|message",
    logout_revokes=False,
    settings={"BACKEND_API_KEY": SettingSpec(read.credential, "<Project settings, API>", required=True, secret=True)},
)
