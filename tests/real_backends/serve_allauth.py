"""allauth's headless API for apps, with verified e-mail addresses and second factors."""

import django_site
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def with_jwt(seconds: int) -> dict[str, object]:
    """The settings of allauth's JWT strategy."""
    key = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "HEADLESS_TOKEN_STRATEGY": "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy",
        "HEADLESS_JWT_PRIVATE_KEY": key.decode(),
        "HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN": seconds,
        "HEADLESS_JWT_STATEFUL_VALIDATION_ENABLED": True,
    }


django_site.configure(
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.headless",
    middleware=("allauth.account.middleware.AccountMiddleware",),
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    ACCOUNT_LOGIN_METHODS={"email"},
    ACCOUNT_SIGNUP_FIELDS=["email*", "password1*"],
    ACCOUNT_EMAIL_VERIFICATION="mandatory",
    ACCOUNT_USER_DISPLAY=lambda user: user.first_name,
    ALLAUTH_TRUSTED_PROXY_COUNT=1,  # else the rate limits count all people of the site as one
    MFA_SUPPORTED_TYPES=["totp", "recovery_codes", "webauthn"],
    MFA_PASSKEY_LOGIN_ENABLED=True,
    MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN=True,  # the site of the tests is http://localhost
    MFA_ADAPTER="__main__.MfaAdapter",
    HEADLESS_ONLY=True,
    HEADLESS_CLIENTS=("app",),
    AUTH_PASSWORD_VALIDATORS=[{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}],
    HEADLESS_FRONTEND_URLS={
        "account_confirm_email": "https://login.example.com/auth/email/verify?key={key}",
        "account_reset_password_from_key": "https://login.example.com/auth/password/reset?key={key}",
        "account_reset_password": "https://login.example.com/auth/password/forgot",
        "account_signup": "https://login.example.com/auth/register",
    },
    **(with_jwt(django_site.ACCESS_SECONDS) if django_site.ACCESS_SECONDS else {}),
)

from allauth.mfa.adapter import DefaultMFAAdapter  # noqa: E402
from django.urls import include, path  # noqa: E402


class MfaAdapter(DefaultMFAAdapter):
    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Passkeys belong to the host of the site, and not to that of this backend."""
        return {"id": "localhost", "name": "Tests"}


urlpatterns = django_site.serve(
    path("accounts/", include("allauth.urls")), path("_allauth/", include("allauth.headless.urls"))
)

if __name__ == "__main__":
    django_site.run()
