"""Which tenants sign in with Microsoft, and which addresses count as verified."""

import pytest

import config
from tests.support.scripted_provider import Json, load_sample
from tests.support.site import SECRET
from tests.support.social_backend import error_code, new_browser, social_setup

WORK = "11111111-2222-3333-4444-555555555555"
OTHER = "aaaaaaaa-2222-3333-4444-555555555555"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
SITE = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
SITE |= {"PROVIDERS": "microsoft", "MICROSOFT_CLIENT_ID": "id", "MICROSOFT_CLIENT_SECRET": "secret-of-this-test"}


def issuer(tenant: str) -> str:
    return f"https://login.microsoftonline.com/{tenant}/v2.0"


def accepted(tenant: str, claims: Json) -> bool:
    (registration,) = config.load({**SITE, "MICROSOFT_TENANT": tenant}).registrations
    return claims.get("iss") in registration.issuers(claims)


@pytest.mark.parametrize(
    ("setting", "tenants"),
    [
        ("common", {WORK, OTHER, PERSONAL}),
        ("organizations", {WORK, OTHER}),
        ("consumers", {PERSONAL}),
        (WORK, {WORK}),
        (WORK.upper(), {WORK}),
        (OTHER, {OTHER}),
        (PERSONAL, {PERSONAL}),
    ],
)
def test_a_tenant_signs_in_if_the_setting_includes_it(setting: str, tenants: set[str]) -> None:
    tokens = {tenant: {"iss": issuer(tenant), "tid": tenant} for tenant in (WORK, OTHER, PERSONAL)}
    assert {tenant for tenant, claims in tokens.items() if accepted(setting, claims)} == tenants


@pytest.mark.parametrize("setting", ["common", "organizations", "consumers", WORK])
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": issuer(OTHER), "tid": WORK},
        {"iss": issuer(WORK), "tid": OTHER},
        {"iss": issuer(PERSONAL), "tid": WORK},
        {"iss": issuer("{tenantid}"), "tid": "{tenantid}"},
        {"iss": issuer("common"), "tid": "common"},
        {"iss": issuer(WORK)},
        {"tid": WORK},
        {"iss": None, "tid": None},
        {"iss": issuer(WORK), "tid": [WORK]},
        {"iss": issuer(WORK), "tid": {WORK: 1}},
        {"iss": issuer(WORK), "tid": True},
        {"iss": issuer(f"{WORK}/x"), "tid": f"{WORK}/x"},
        {"iss": issuer(f"{WORK}\n"), "tid": f"{WORK}\n"},
        {"iss": issuer(f"../{WORK}"), "tid": f"../{WORK}"},
        {"iss": issuer(WORK.replace("1", "١")), "tid": WORK.replace("1", "١")},
        {"iss": f"{issuer(WORK)}/", "tid": WORK},
        {"iss": f"https://sts.windows.net/{WORK}/", "tid": WORK},
        {"iss": f"https://login.microsoftonline.com.evil.example/{WORK}/v2.0", "tid": WORK},
        {"iss": f"http://login.microsoftonline.com/{WORK}/v2.0", "tid": WORK},
        {},
    ],
    ids=str,
)
def test_an_issuer_that_is_not_that_of_the_tokens_own_tenant_is_refused(setting: str, claims: Json) -> None:
    assert not accepted(setting, claims)


@pytest.mark.parametrize("text", ["contoso.onmicrosoft.com", "any", "common/x", "{tenantid}", "../common", f"{WORK}0"])
def test_a_tenant_that_is_no_id_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(config.SettingsError, match="MICROSOFT_TENANT must be"):
        config.load({**SITE, "MICROSOFT_TENANT": text})


def test_all_addresses_of_microsoft_have_the_tenant() -> None:
    (registration,) = config.load({**SITE, "MICROSOFT_TENANT": WORK}).registrations
    provider = registration.provider
    for url in (provider.authorize_url, provider.token_url, provider.keys_url, provider.logout_url):
        assert registration.url(url or "").startswith(f"https://login.microsoftonline.com/{WORK}/")


def test_with_a_fixed_tenant_only_its_accounts_reach_the_backend() -> None:
    with social_setup("microsoft", MICROSOFT_TENANT=WORK) as here:
        here.providers.samples["microsoft"] = load_sample("microsoft", "", {"TENANT": WORK})
        for case, code in {"": "", "a personal account": "OAuthCallback"}.items():
            sample, visitor = load_sample("microsoft", case), new_browser(here.site)
            url = visitor.start_sign_in("microsoft")
            assert f"/microsoft/{WORK}/oauth2/v2.0/authorize?" in url
            assert error_code(visitor.send_callback("microsoft", here.providers.approve(url, sample))) == code
            assert visitor.is_signed_in == (not code)
        assert len(here.backend.social_logins) == 1


@pytest.mark.parametrize("flag", [False, None, 0, "false", "", "yes", [True], {"true": True}])
def test_an_address_without_xms_edov_is_not_verified_and_not_sent(flag: object) -> None:
    with social_setup("microsoft") as here:
        sample, visitor = load_sample("microsoft"), new_browser(here.site)
        sample["claims"]["xms_edov"] = flag
        answer = here.providers.approve(visitor.start_sign_in("microsoft"), sample)
        assert error_code(visitor.send_callback("microsoft", answer)) == ""
        ((_, body),) = here.backend.social_logins
        assert set(body) == {"social_token"}
