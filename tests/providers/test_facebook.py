"""What Facebook does differently: a proof of the app secret with each call, and error objects."""

import hashlib
import hmac
from urllib.parse import parse_qs

import pytest

from tests.support.scripted_provider import load_sample
from tests.support.social_backend import error_code, new_browser, social_setup


def test_the_user_is_asked_for_with_a_proof_of_the_app_secret() -> None:
    with social_setup("facebook") as here:
        visitor = new_browser(here.site)
        answer = here.providers.approve(visitor.start_sign_in("facebook"))
        assert error_code(visitor.send_callback("facebook", answer)) == ""
        (call,) = here.providers.requests_to("/facebook/v25.0/me")
    token = call.headers["AUTHORIZATION"].removeprefix("Bearer ")
    secret = load_sample("facebook")["settings"]["CLIENT_SECRET"]
    assert parse_qs(call.query) == {
        "fields": ["id,name,email,picture.width(256)"],
        "appsecret_proof": [hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()],
    }


def test_a_proof_that_facebook_does_not_accept_signs_nobody_in() -> None:
    with social_setup("facebook") as here:
        visitor = new_browser(here.site)
        answer = here.providers.approve(visitor.start_sign_in("facebook"))
        here.providers.user_error = (400, {"error": {"message": "Invalid appsecret_proof provided", "code": 100}})
        assert error_code(visitor.send_callback("facebook", answer)) == "OAuthCallback"
        assert not visitor.is_signed_in
        assert here.backend.social_logins == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "This authorization code has been used.", "code": 100, "error_subcode": 36009}, "AttemptExpired"),
        ({"message": "Invalid client_id", "type": "OAuthException", "code": 101}, "Configuration"),
        ({"message": "URL blocked", "code": 191}, "Configuration"),
        ({"message": "An unknown error occurred", "code": 1}, "OAuthCallback"),
        ({"message": "~secret~", "code": "x" * 10_000}, "OAuthCallback"),
        ({"code": True}, "OAuthCallback"),
        ({"code": 1e400, "error_subcode": []}, "OAuthCallback"),
        ({}, "OAuthCallback"),
        ([], "OAuthCallback"),
        ("invalid_grant", "OAuthCallback"),
    ],
    ids=str,
)
def test_an_error_object_means_what_its_code_says(error: object, code: str) -> None:
    with social_setup("facebook") as here:
        visitor = new_browser(here.site)
        answer = here.providers.approve(visitor.start_sign_in("facebook"))
        here.providers.token_error = (400, {"error": error})
        assert error_code(visitor.send_callback("facebook", answer)) == code
        assert not visitor.is_signed_in


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (
            {"error": "access_denied", "error_code": "200", "error_reason": "user_denied", "error_description": "x"},
            "Cancelled",
        ),
        ({"error_code": "1349126", "error_message": "App not active"}, "OAuthCallback"),
        ({"error_reason": "user_denied"}, "OAuthCallback"),
        ({"error": "access_denied", "code": "~secret~"}, "Cancelled"),
    ],
    ids=str,
)
def test_a_callback_without_a_code_signs_nobody_in(params: dict[str, str], code: str) -> None:
    with social_setup("facebook") as here:
        visitor = new_browser(here.site)
        state = here.providers.approve(visitor.start_sign_in("facebook"))["state"]
        assert error_code(visitor.send_callback("facebook", {**params, "state": state})) == code
        assert not visitor.is_signed_in
        assert here.providers.token_requests("facebook") == []
