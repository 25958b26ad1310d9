"""`<ID>_SCOPE` and `<ID>_PARAMS`: what the operator changes in the authorization request, and what nobody can."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import config
import providers
from providers.base import SITE_PARAMS
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend
from tests.support.issuer import (
    Issuer,
    assert_rejected,
    assert_signed_in,
    post_sign_in,
    reset_servers,
    send_callback,
    start_sign_in,
)
from tests.support.scripted_provider import ScriptedProviders
from tests.support.site import SECRET, ManualClock, Site, Visitor, running_site

PROVIDERS = ScriptedProviders("http://127.0.0.1:1")
WITH_PARAMS = [name for name in providers.names() if providers.find(name).optional_params]
WITHOUT_PARAMS = [name for name in providers.names() if not providers.find(name).optional_params]
OPENID = [name for name in providers.names() if providers.find(name).is_oidc]
DAY = 86400


def load(name: str, **settings: str) -> config.Settings:
    base = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
    return config.load({**base, **PROVIDERS.environ(name), **settings})


def problem(name: str, **settings: str) -> str:
    with pytest.raises(config.SettingsError) as error:
        load(name, **settings)
    (text,) = error.value.problems
    return text.strip()


# --- Settings


@pytest.mark.parametrize("name", providers.names())
@pytest.mark.parametrize("scope", ["openid", "openid  email offline_access", "profile openid https://x.example/a.b"])
def test_the_setting_replaces_the_scopes(name: str, scope: str) -> None:
    (registration,) = load(name, **{f"{name.upper()}_SCOPE": scope}).registrations
    assert registration.scope.split() == scope.split()
    (unchanged,) = load(name).registrations
    assert unchanged.scope == providers.find(name).scope


@pytest.mark.parametrize("name", OPENID)
@pytest.mark.parametrize("scope", ["email", "profile email", "OPENID email", "open id", "openid,email", "xopenid"])
def test_an_openid_connect_provider_keeps_the_scope_openid(name: str, scope: str) -> None:
    assert problem(name, **{f"{name.upper()}_SCOPE": scope}).startswith(f"{name.upper()}_SCOPE must have openid")


@pytest.mark.parametrize("scope", ['openid "email"', "openid e\\mail", "openid 이메일", "openid \x7f", "openid\x00"])
def test_a_scope_with_a_character_that_scopes_cannot_have_is_refused(scope: str) -> None:
    assert problem("google", GOOGLE_SCOPE=scope).startswith("GOOGLE_SCOPE must be scopes of printable ASCII")


def test_no_provider_lets_the_settings_change_what_the_protocol_needs() -> None:
    assert len(WITH_PARAMS) >= 7
    for name in WITH_PARAMS:
        provider = providers.find(name)
        assert not SITE_PARAMS & {*provider.optional_params}, name
        assert not {*provider.authorize_params} & {*provider.optional_params}, name
        assert {*provider.param_claims} <= {*provider.optional_params}, name
        assert provider.is_oidc or not (provider.param_claims or "max_age" in provider.optional_params), name
        with pytest.raises(ValueError, match="must be one of"):
            provider.optional_params.get("prompt", provider.optional_params.get("auth_type"))("none")  # type: ignore[misc]


@pytest.mark.parametrize("name", WITH_PARAMS)
@pytest.mark.parametrize("param", sorted(SITE_PARAMS))
def test_a_parameter_of_the_protocol_is_never_a_setting(name: str, param: str) -> None:
    text = problem(name, **{f"{name.upper()}_PARAMS": f"{param}=canary"})
    assert text.startswith(f"{name.upper()}_PARAMS must not have {param}: the site sets it")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("audience=x", "must have only prompt, service_terms, channel_public_id, not 'audience'"),
        ("State=x", "must have only prompt"),
        (" =x", "must have only prompt"),
        ("prompt", "must have prompt once, with a value"),
        ("prompt=", "must have prompt once, with a value"),
        ("prompt=login prompt=create", "must have prompt once, with a value"),
        ("prompt=none", "has an invalid prompt: it must be one of login, create, select_account"),
        ("prompt=login&state=x", "has an invalid prompt: it must be one of login"),
        ("prompt=login state=x", "must not have state"),
        ('service_terms="a', "must have a second quotation mark"),
        ("service_terms=약관", "has an invalid service_terms: it must be printable ASCII"),
        ("service_terms=" + "a" * 2001, "has an invalid service_terms"),
        ('"service_terms=a\nb"', "has an invalid service_terms"),
        ("x" * 5000, "must have only prompt"),
    ],
)
def test_a_parameter_that_is_not_possible_is_named_at_the_start(text: str, reason: str) -> None:
    message = problem("kakao", KAKAO_PARAMS=text)
    assert message.startswith(f"KAKAO_PARAMS {reason}")
    assert len(message) < 300


@pytest.mark.parametrize("text", ["hd=example", "hd=*", "hd=https://example.com", "hd=exam_ple..com", "hd=예시.com"])
def test_a_domain_that_is_none_is_refused(text: str) -> None:
    assert "has an invalid hd: it must be a domain" in problem("google", GOOGLE_PARAMS=text)


@pytest.mark.parametrize("name", WITHOUT_PARAMS)
def test_a_provider_without_such_parameters_has_no_setting_for_them(name: str) -> None:
    assert "PARAMS" not in providers.find(name).all_settings


# --- The request


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    settings: dict[str, Any] = {
        **issuer.site_settings(),
        "oidc_scope": "openid groups",
        "oidc_params": 'max_age=3600 acr_values="one two" prompt=consent',
        "google_params": "hd=Example.com access_type=offline",
        "github_params": "allow_signup=false",
    }
    with running_site(backend.url, clock=clock, **settings, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest) -> None:
    if "site" in request.fixturenames:
        issuer, backend, site, clock = map(request.getfixturevalue, ("issuer", "backend", "site", "clock"))
        clock.reset()
        reset_servers(issuer, backend, site)


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.new_visitor()


def test_the_authorization_request_has_the_scopes_and_parameters_of_the_settings(
    issuer: Issuer, visitor: Visitor
) -> None:
    params = start_sign_in(visitor, issuer)
    assert params["scope"] == "openid groups"
    assert (params["max_age"], params["acr_values"], params["prompt"]) == ("3600", "one two", "consent")
    assert params["response_type"] == "code"
    url = post_sign_in(visitor, "github").json()["url"]
    assert parse_qs(urlsplit(url).query)["allow_signup"] == ["false"]
    assert "max_age" not in url


def test_a_confirmation_asks_for_the_password_whatever_the_settings_say(
    issuer: Issuer, visitor: Visitor, clock: ManualClock
) -> None:
    issuer.extra_claims = {"auth_time": int(clock.time())}
    assert_signed_in(visitor, send_callback(visitor, start_sign_in(visitor, issuer)))
    params = start_sign_in(visitor, issuer, confirm="true")
    assert (params["max_age"], params["prompt"], params["acr_values"]) == ("0", "login", "one two")
    issuer.extra_claims = {"auth_time": int(clock.time()) - 600}
    response = send_callback(visitor, params)
    assert "error=OAuthCallback" in response.headers["Location"]


@pytest.mark.parametrize(
    ("age", "accepted"), [(0, True), (3600, True), (3600 + DAY, False), (None, False), ("now", False), (True, False)]
)
def test_the_id_token_must_prove_that_the_sign_in_at_the_issuer_is_recent_enough(
    issuer: Issuer, visitor: Visitor, clock: ManualClock, age: Any, accepted: bool
) -> None:
    """Somebody with an old session at the issuer may remove `max_age` from the address."""
    number = isinstance(age, int) and not isinstance(age, bool)
    auth_time = int(clock.time()) - age if number else age
    issuer.extra_claims = {} if auth_time is None else {"auth_time": auth_time}
    response = send_callback(visitor, start_sign_in(visitor, issuer))
    if accepted:
        assert_signed_in(visitor, response)
    else:
        assert_rejected(visitor, response, "OAuthCallback")


@pytest.mark.parametrize(
    ("claim", "accepted"),
    [
        ("example.com", True),
        ("EXAMPLE.com", True),
        ("evil.example", False),
        ("example.com.evil.example", False),
        ("", False),
        (None, False),
        (True, False),
        (["example.com"], False),
    ],
)
def test_the_id_token_must_be_of_the_domain_that_the_settings_demand(
    issuer: Issuer, visitor: Visitor, claim: object, accepted: bool
) -> None:
    params = start_sign_in(visitor, issuer, "google")
    assert (params["hd"], params["access_type"]) == ("example.com", "offline")
    issuer.extra_claims = {} if claim is None else {"hd": claim}
    response = send_callback(visitor, params, "google")
    if accepted:
        assert_signed_in(visitor, response)
    else:
        assert_rejected(visitor, response, "AccessDenied")
