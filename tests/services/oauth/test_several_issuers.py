"""Several OpenID Connect issuers at one site: `PROVIDERS=oidc:staff,oidc:partners`. None can speak for another."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey

import config
from services.oauth.logout_token import EVENT
from tests.support import forge
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend
from tests.support.issuer import (
    CLIENT_ID,
    CLIENT_SECRET,
    SUBJECT,
    Issuer,
    assert_rejected,
    assert_signed_in,
    clear_document_cache,
    post_sign_in,
    public_jwk,
    rsa_key,
    send_callback,
    sign_in_via_provider,
    sign_jwt,
    start_sign_in,
)
from tests.support.site import SECRET, ManualClock, Page, Site, Visitor, running_site

NAMES = ("staff", "partners")


class _OwnIssuer(Issuer):
    """An issuer with a key of its own, which says its name in each callback if `metadata` says so."""

    name = ""

    @property
    def key(self) -> RSAKey:
        return rsa_key(f"key-of-{self.name}")

    def reset(self) -> None:
        super().reset()
        if self.name:
            self.jwks = {"keys": [public_jwk(self.key)]}
            self.make_id_token = self.sign

    def sign(self, claims: dict[str, Any]) -> str:
        return sign_jwt(claims, self.key, kid=self.key.kid)


@pytest.fixture(scope="module")
def issuers(clock: ManualClock) -> Iterator[dict[str, _OwnIssuer]]:
    running = {}
    for name in NAMES:
        running[name] = issuer = _OwnIssuer(clock=clock)
        issuer.name = name
    yield running
    for issuer in running.values():
        issuer.stop_listening()
        issuer.close_connections()


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuers: dict[str, _OwnIssuer], clock: ManualClock) -> Iterator[Site]:
    settings: dict[str, Any] = {
        "providers": ",".join(f"oidc:{name}" for name in NAMES),
        "partners_label": "Our partners",
    }
    for name in NAMES:
        settings |= {
            f"{name}_issuer": issuers[name].url,
            f"{name}_client_id": CLIENT_ID,
            f"{name}_client_secret": CLIENT_SECRET,
        }
    settings |= {"staff_logout": "true"}
    with running_site(backend.url, clock=clock, **settings, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def well(issuers: dict[str, _OwnIssuer], backend: FaultyBackend, site: Site) -> None:
    backend.reset()
    backend.responses |= {f"/login/social/callback/{name}": backend.responses["/login"] for name in NAMES}
    for issuer in issuers.values():
        issuer.reset()
    clear_document_cache(site)


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.new_visitor()


@pytest.mark.parametrize("name", NAMES)
def test_each_issuer_signs_people_in_under_its_own_id(
    site: Site, issuers: dict[str, _OwnIssuer], backend: FaultyBackend, visitor: Visitor, name: str
) -> None:
    params = start_sign_in(visitor, issuers[name], name)
    assert params["redirect_uri"] == f"{site.url}/api/auth/callback/{name}"
    assert_signed_in(visitor, send_callback(visitor, params, name))
    assert f"/login/social/callback/{name}" in [call.path for call in backend.calls]


def test_each_issuer_has_a_button_with_its_label_and_the_mark_of_its_kind(visitor: Visitor) -> None:
    page = visitor.get_page("/auth/login/email")
    buttons = page.find_all("button[@class='provider-button provider-button-staff']")
    buttons += page.find_all("button[@class='provider-button provider-button-partners']")
    assert ["".join(button.itertext()).strip() for button in buttons] == [
        "Sign in with Staff",
        "Sign in with Our partners",
    ]
    assert all(any("svg" in str(part.tag) for part in button.iter()) for button in buttons)
    style = visitor.get(str(page.find_all("link[@rel='stylesheet']")[0].get("href"))).text
    assert ".provider-button-staff {" in style


def test_nextauths_client_sees_each_issuer(site: Site, visitor: Visitor) -> None:
    providers = visitor.get("/api/auth/providers").json()
    assert [*providers] == ["email", *NAMES]
    assert providers["partners"]["name"] == "Our partners"
    assert providers["partners"]["callbackUrl"] == f"{site.url}/api/auth/callback/partners"


@pytest.mark.parametrize("path", ["oidc", "oidc:staff", "oidc%3Astaff", "Staff", "staff%00", "other"])
def test_no_other_spelling_of_an_issuer_is_an_address(visitor: Visitor, path: str) -> None:
    assert visitor.submit(f"/api/auth/signin/{path}", {"json": "true"}).status_code == 404
    assert visitor.get(f"/api/auth/callback/{path}").status_code == 404


# --- One issuer for another


def test_a_callback_of_one_issuer_does_not_finish_a_sign_in_at_another(
    issuers: dict[str, _OwnIssuer], visitor: Visitor
) -> None:
    params = start_sign_in(visitor, issuers["staff"], "staff")
    assert_rejected(visitor, send_callback(visitor, params, "partners"), "AttemptExpired")
    assert issuers["partners"].calls == [] or "/token" not in [call.path for call in issuers["partners"].calls]


@pytest.mark.parametrize("announced", [False, True])
def test_a_callback_that_names_another_issuer_is_refused_before_the_code_is_sent(
    issuers: dict[str, _OwnIssuer], visitor: Visitor, announced: bool
) -> None:
    issuers["partners"].metadata = {"authorization_response_iss_parameter_supported": announced}
    params = start_sign_in(visitor, issuers["partners"], "partners")
    answer = send_callback(visitor, params, "partners", iss=issuers["staff"].url)
    assert_rejected(visitor, answer, "OAuthCallback")
    assert "/token" not in [call.path for issuer in issuers.values() for call in issuer.calls]


@pytest.mark.parametrize("with_key_of_partners", [False, True])
def test_an_id_token_of_one_issuer_is_refused_at_the_callback_of_another(
    issuers: dict[str, _OwnIssuer], visitor: Visitor, with_key_of_partners: bool
) -> None:
    """`partners` hands on what `staff` has issued for the same client id: a valid token, or its claims signed anew."""
    staff, partners = issuers["staff"], issuers["partners"]
    key = partners if with_key_of_partners else staff
    partners.make_id_token = lambda claims: key.sign({**claims, "iss": staff.url})
    assert_rejected(visitor, sign_in_via_provider(visitor, partners, "partners"), "OAuthCallback")


def test_an_issuer_with_the_key_of_another_is_refused(issuers: dict[str, _OwnIssuer], visitor: Visitor) -> None:
    issuers["partners"].make_id_token = issuers["staff"].sign
    assert_rejected(visitor, sign_in_via_provider(visitor, issuers["partners"], "partners"), "OAuthCallback")


def test_metadata_that_names_the_other_issuer_is_not_used(issuers: dict[str, _OwnIssuer], visitor: Visitor) -> None:
    issuers["partners"].metadata = {"issuer": issuers["staff"].url}
    assert "error=ProviderUnavailable" in post_sign_in(visitor, "partners").json()["url"]


# --- Sign-out


def logout_claims(issuer: _OwnIssuer) -> dict[str, Any]:
    now = int(issuer.clock.time())
    return {
        "iss": issuer.url,
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 120,
        "jti": f"one-of-{issuer.name}-{len(issuer.calls)}-{now}",
        "events": {EVENT: {}},
        "sub": SUBJECT,
    }


def send_logout_token(site: Site, name: str, token: str) -> int:
    url = f"{site.url}/api/auth/backchannel-logout/{name}"
    return site.new_visitor().post(url, data={"logout_token": token}).status_code


def test_an_issuer_ends_its_own_sessions_and_not_those_of_another(
    site: Site, issuers: dict[str, _OwnIssuer], clock: ManualClock
) -> None:
    of = {}
    for name, issuer in issuers.items():
        of[name] = site.new_visitor()
        assert_signed_in(of[name], sign_in_via_provider(of[name], issuer, name))
    clock.advance(10)
    staff = issuers["staff"]
    token = staff.sign(logout_claims(staff))
    assert send_logout_token(site, "partners", token) == 400
    assert send_logout_token(site, "oidc", token) == 404
    assert [of[name].is_signed_in for name in NAMES] == [True, True]
    assert send_logout_token(site, "staff", token) == 200
    assert [of[name].is_signed_in for name in NAMES] == [False, True]


def test_a_sign_out_goes_on_at_the_issuer_of_the_session_if_that_is_set(
    issuers: dict[str, _OwnIssuer], site: Site
) -> None:
    for name, issuer in issuers.items():
        issuer.metadata = {"end_session_endpoint": f"{issuer.url}/logout"}
        visitor = site.new_visitor()
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, name))
        page = Page(visitor.submit("/auth/logout", {"callbackUrl": "/account"}))
        refresh = [str(each.get("content")) for each in page.find_all("meta[@http-equiv='refresh']")]
        leads_to_issuer = [text for text in refresh if issuer.url in text]
        assert bool(leads_to_issuer) == (name == "staff")
        if leads_to_issuer:
            query = parse_qs(urlsplit(leads_to_issuer[0].partition("url=")[2]).query)
            assert query["logout_hint"] == [SUBJECT]
            issuer.verify_hint(leads_to_issuer[0].partition("url=")[2])


def test_the_id_token_of_one_issuer_does_not_reach_another(issuers: dict[str, _OwnIssuer], site: Site) -> None:
    visitor = site.new_visitor()
    for name in ("staff", "partners", "staff"):
        issuers[name].metadata = {"end_session_endpoint": f"{issuers[name].url}/logout"}
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuers[name], name))
        claims = forge.decrypt(str(visitor.cookies["next-auth.session-token"]))
        assert ("sealed_id_token" in claims) is (name == "staff")
    url = visitor.submit("/api/auth/signout", {"json": "true"}).json()["url"]
    assert issuers["staff"].verify_hint(url)["nonce"] == issuers["staff"].nonce


# --- Settings


def environ(listed: str, **changes: str | None) -> dict[str, str]:
    own = {
        f"{name.upper()}_{setting}": value
        for name in ("oidc", "staff", "partners", "staff_eu", "a1")
        for setting, value in {"ISSUER": f"https://{name.replace('_', '-')}.example", "CLIENT_ID": "x"}.items()
    }
    base = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
    given = {**base, **own, "PROVIDERS": listed, **changes}
    return {name: value for name, value in given.items() if value is not None}


def problems(listed: str, **changes: str | None) -> list[str]:
    with pytest.raises(config.SettingsError) as error:
        config.load(environ(listed, **changes))
    return error.value.problems


@pytest.mark.parametrize(
    ("listed", "ids"),
    [
        ("oidc:staff,oidc:partners", ["staff", "partners"]),
        ("oidc", ["oidc"]),
        ("oidc:staff, OIDC:Partners ,oidc", ["staff", "partners", "oidc"]),
        ("oidc:staff,oidc:staff_eu,oidc:a1", ["staff", "staff_eu", "a1"]),
    ],
)
def test_any_number_of_issuers_can_be_listed(listed: str, ids: list[str]) -> None:
    settings = config.load(environ(listed))
    assert [each.id for each in settings.registrations] == ids
    assert [each.backend_name for each in settings.registrations] == ids
    assert [each.issuer for each in settings.registrations] == [f"https://{i.replace('_', '-')}.example" for i in ids]


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("oidc:kakao", "kakao is a provider of its own"),
        ("oidc:oidc", "oidc is a provider of its own"),
        ("oidc:email", "email is another way to sign in"),
        ("oidc:credentials", "credentials is another way to sign in"),
        ("oidc:passkey", "passkey is another way to sign in"),
        ("oidc:session", "its settings would start with SESSION_, as SESSION_MAX_AGE does"),
        ("oidc:backend", "its settings would start with BACKEND_"),
        ("oidc:backend_login", "its settings would start with BACKEND_LOGIN_"),
        ("oidc:site", "its settings would start with SITE_"),
        ("oidc:secret", "its settings would start with SECRET_"),
        ("oidc:apple_team", "its settings would start with APPLE_TEAM_, as APPLE_TEAM_ID does"),
        ("oidc:flask", "its settings would start with FLASK_"),
        ("oidc:", "a name of letters, digits and '_'"),
        ("oidc:1st", "a name of letters, digits and '_'"),
        ("oidc:my-staff", "a name of letters, digits and '_'"),
        ("oidc:staff_", "a name of letters, digits and '_'"),
        ("oidc:sta__ff", "a name of letters, digits and '_'"),
        ("oidc:a:b", "a name of letters, digits and '_'"),
        ("oidc:../staff", "a name of letters, digits and '_'"),
        ("oidc:st aff", "a name of letters, digits and '_'"),
        ("oidc:직원", "a name of letters, digits and '_'"),
        ("oidc:staﬀ", "a name of letters, digits and '_'"),
        ("oidc:staff%0a", "a name of letters, digits and '_'"),
        (f"oidc:{'a' * 31}", "a name of letters, digits and '_'"),
        ("kakao:staff", "must list 'kakao' without a name"),
        ("github:", "must list 'github' without a name"),
        (":staff", "must list some of"),
        ("staff", "must list some of"),
        ("base:staff", "must list some of"),
        ("oidc:staff,oidc:staff", "each name once"),
        ("oidc:staff,oidc:STAFF", "each name once"),
        ("oidc,oidc", "each provider once"),
    ],
)
def test_a_name_that_cannot_be_an_issuers_is_refused_with_the_reason(listed: str, reason: str) -> None:
    (problem,) = problems(listed)
    assert problem.strip().startswith("PROVIDERS ")
    assert reason in problem
    assert len(problem) < 400


@pytest.mark.parametrize("setting", ["ISSUER", "CLIENT_ID"])
def test_a_missing_setting_is_named_with_the_name_of_the_issuer(setting: str) -> None:
    (problem,) = problems("oidc:staff,oidc:partners", **{f"PARTNERS_{setting}": None})
    assert problem.strip().startswith(f"PARTNERS_{setting} is required")


def test_the_secret_of_an_issuer_can_be_in_a_file(tmp_path: Any) -> None:
    (tmp_path / "secret").write_text("of-staff\n")
    settings = config.load(environ("oidc:staff", STAFF_CLIENT_SECRET_FILE=str(tmp_path / "secret")))
    assert settings.registrations[0].secret == "of-staff"
    assert "of-staff" not in f"{settings!r}"


@pytest.mark.parametrize("name", ["partners", "oidc"])
def test_two_providers_cannot_have_the_same_name_at_the_backend(name: str) -> None:
    """The backend would take the subject of one for a subject of the other: another person."""
    (problem,) = problems("oidc,oidc:staff,oidc:partners", STAFF_BACKEND_NAME=name)
    assert "_BACKEND_NAME must not be that of " in problem
    assert config.load(environ("oidc:staff,oidc:partners", STAFF_BACKEND_NAME="company")).registrations


@pytest.mark.parametrize("value", ["fragment", "form_post query", "POST", "query.jwt"])
def test_another_response_mode_is_refused_and_each_issuer_has_its_own(value: str) -> None:
    (problem,) = problems("oidc:staff,oidc:partners", STAFF_RESPONSE_MODE=value)
    assert problem.strip().startswith("STAFF_RESPONSE_MODE must be one of query, form_post")
    settings = config.load(environ("oidc:staff,oidc:partners", STAFF_RESPONSE_MODE="form_post"))
    assert [each.provider.form_post for each in settings.registrations] == [True, False]
