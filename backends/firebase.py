"""Firebase Authentication and Identity Platform, through their REST API. The emulator speaks it too."""

from collections.abc import Mapping

import settings_readers as read
from backends.base import Answer, Backend, Call, Meaning, Method, NextStep, Rule
from settings_readers import SettingSpec

_KEY = "?key={BACKEND_API_KEY}"
_LOGIN = {"email": "{identifier}", "password": "{password}", "returnSecureToken": True}
_REFRESH = {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"}
_OVER = ("INVALID_ID_TOKEN", "TOKEN_EXPIRED", "USER_NOT_FOUND", "INVALID_REFRESH_TOKEN")

_MFA = {"mfaPendingCredential": "{challenge}", "mfaEnrollmentId": "{method}"}
_CODE = {**_MFA, "totpVerificationInfo": {"verificationCode": "{code}"}}


def _read_methods(answer: Answer) -> Mapping[str, Method]:
    """The authenticator apps of the person, by their enrollment ids. Codes by SMS need reCAPTCHA in the page."""
    factors = answer.get_objects("mfaInfo")
    return {str(factor.get("mfaEnrollmentId")): Method.APP for factor in factors if "totpInfo" in factor}


backend = Backend(
    id="firebase",
    login=Call("POST", "/v1/accounts:signInWithPassword" + _KEY, _LOGIN),
    user=Call("POST", "/v1/accounts:lookup" + _KEY, {"idToken": "{token}"}),
    refresh=Call("POST", "https://securetoken.googleapis.com/v1/token" + _KEY, _REFRESH, form=True),
    profile=Call("POST", "/v1/accounts:update" + _KEY, {"idToken": "{token}", "displayName": "{name}"}),
    verify=Call("POST", "/v2/accounts/mfaSignIn:finalize" + _KEY, _CODE),
    next_step=NextStep(challenge="mfaPendingCredential", read_methods=_read_methods),
    # No calls for the verification: the sign-up sends no mail, and requesting one needs a session.
    register=Call("POST", "/v1/accounts:signUp" + _KEY, {**_LOGIN, "displayName": "{name}"}),
    forgot=Call(
        "POST",
        "/v1/accounts:sendOobCode" + _KEY,
        {"requestType": "PASSWORD_RESET", "email": "{identifier}"},
        headers={"X-Firebase-Locale": "{locale}"},  # the language of the mail
    ),
    reset=Call("POST", "/v1/accounts:resetPassword" + _KEY, {"oobCode": "{code}", "newPassword": "{new_password}"}),
    change_password=Call(
        "POST",
        "/v1/accounts:update" + _KEY,
        {"idToken": "{token}", "password": "{new_password}", "returnSecureToken": True},
    ),
    checks_current_password=False,
    mail_link_parameters={"code": "oobCode"},
    min_password_length=6,
    token="idToken|id_token",
    token_header="",
    refresh_token="refreshToken|refresh_token",
    expires="expiresIn|expires_in:s",
    user_at="users.0",
    user_fields={"id": "localId", "name": "displayName", "email": "email"},
    meanings=(
        Rule(400, "error.message", _OVER, Meaning.SESSION_OVER),
        Rule(400, "error.message", "USER_DISABLED", Meaning.LOCKED),
        Rule(400, "error.message", "TOO_MANY_ATTEMPTS_TRY_LATER*", Meaning.THROTTLED),
        Rule(400, "error.message", "API key not valid*", Meaning.CONFIGURATION),
        Rule(400, "error.message", "MISSING_*", Meaning.CONFIGURATION),
        Rule(400, "error.message", "INVALID_MFA_PENDING_CREDENTIAL*", Meaning.STEP_OVER),
        Rule(400, "error.message", "CREDENTIAL_TOO_OLD_LOGIN_AGAIN", Meaning.SESSION_OVER),
        Rule(400, "error.message", "EMAIL_EXISTS", Meaning.TAKEN),
        Rule(400, "error.message", ("OPERATION_NOT_ALLOWED*", "ADMIN_ONLY_*"), Meaning.CLOSED),
        Rule(400, "error.message", ("WEAK_PASSWORD*", "PASSWORD_DOES_NOT*"), Meaning.WEAK_PASSWORD),
        Rule(200, "mfaPendingCredential", ..., Meaning.NEXT_STEP),
    ),
    settings={
        "BACKEND_API_KEY": SettingSpec(read.credential, "<Project settings, General>", required=True, secret=True),
    },
)
