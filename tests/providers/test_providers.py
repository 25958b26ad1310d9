"""Every provider passes the same tests, with the examples in its file and `support/provider_samples/<id>.json`."""

import base64
import logging
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote_plus, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

import config
import providers
from providers.base import Identity, Provider, ProviderResponses, dig
from services.backend.user import validate_identity
from tests.support.faulty_backend import SECRET_MARKER
from tests.support.forge import decrypt
from tests.support.logs import captured_log
from tests.support.scripted_provider import Call, ScriptedProviders, apple_key, load_sample, pkce_challenge
from tests.support.site import SECRET, Page, a_context
from tests.support.social_backend import SESSION, SocialSetup, error_code, new_browser, social_setup

ALL = providers.names()
CASES = [(name, case) for name in ALL for case in ("", *load_sample(name)["cases"])]
GOOD = [(name, case) for name, case in CASES if "error" not in load_sample(name, case)]
BAD = [(name, case) for name, case in CASES if "error" in load_sample(name, case)]
OPENID = [name for name in ALL if providers.find(name).is_oidc]


def names_of(value: object) -> str:
    return str(value).replace(" ", "-") or "as-a-rule"


@pytest.fixture(scope="module")
def everywhere() -> Iterator[SocialSetup]:
    with social_setup(*ALL) as running:
        yield running


@pytest.fixture
def here(everywhere: SocialSetup) -> SocialSetup:
    everywhere.providers.calls.clear()
    everywhere.backend.calls.clear()
    return everywhere


@pytest.mark.parametrize("name", ALL)
def test_each_provider_has_examples_of_a_user_with_and_without_an_email_address(name: str) -> None:
    identities = [load_sample(name, case)["identity"] for each, case in GOOD if each == name]
    assert identities, f"write `examples` in providers/{name}.py"
    emails = {sample.get("email", identities[0]["email"]) for sample in identities}
    assert None in emails, f"add an example without an email address to providers/{name}.py"
    assert len(emails) > 1


@pytest.mark.parametrize("provider", providers.in_order(), ids=lambda provider: provider.id)
def test_the_first_example_of_a_provider_is_the_user_whom_the_stand_ins_replace(provider: Provider) -> None:
    if provider.examples:
        identity = provider.examples[0].identity
        assert identity is not None
        assert (identity.name, identity.email) == ("김하늘", "haneul.kim@example.com")


# --- Start, callback and session


@pytest.mark.parametrize("name", ALL)
def test_the_authorization_url_has_exactly_the_needed_parameters(here: SocialSetup, name: str) -> None:
    sample = load_sample(name)
    address = urlsplit(new_browser(here.site).start_sign_in(name, callbackUrl="/account"))
    assert f"{address.scheme}://{address.netloc}{address.path}" == (
        f"{here.providers.url}/{name}{sample['authorize']['path']}"
    )
    asked = parse_qs(address.query, strict_parsing=True)
    assert all(len(values) == 1 for values in asked.values())
    random = {key: asked.pop(key)[0] for key in ("state", "code_challenge", "nonce") if key in asked}
    assert set(random) == {"state", "code_challenge", *(["nonce"] if "claims" in sample else [])}
    assert all(len(value) >= 43 for value in random.values())
    assert len(set(random.values())) == len(random)
    assert {key: values[0] for key, values in asked.items()} == {
        "response_type": "code",
        "client_id": sample["settings"]["CLIENT_ID"],
        "redirect_uri": f"{here.site.url}/api/auth/callback/{name}",
        "code_challenge_method": "S256",
        **sample["authorize"]["asks"],
    }


@pytest.mark.parametrize("name", ALL)
def test_the_token_request_has_exactly_the_standard_fields(here: SocialSetup, name: str) -> None:
    sample, visitor = load_sample(name), new_browser(here.site)
    address = visitor.start_sign_in(name)
    answer = here.providers.approve(address)
    assert error_code(visitor.send_callback(name, answer)) == ""
    (call,) = here.providers.token_requests(name)
    asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    sent = dict(call.fields)
    assert pkce_challenge(sent.pop("code_verifier")) == asked["code_challenge"]
    client_id, secret = basic_credentials(call) or (sent.pop("client_id"), sent.pop("client_secret"))
    assert client_id == sample["settings"]["CLIENT_ID"]
    check_secret(name, secret)
    assert sent == {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": asked["redirect_uri"],
        **{key: answer[key] for key in sample["token"]["repeats"]},
    }
    assert call.headers["ACCEPT"] == "application/json"
    assert call.headers["USER_AGENT"].startswith("Munjigi/")
    assert not {"COOKIE", "REFERER", "ORIGIN"} & set(call.headers)
    assert ("AUTHORIZATION" in call.headers) == (sample["token"]["auth"] == "client_secret_basic")


def basic_credentials(call: Call) -> tuple[str, str] | None:
    """Client id and secret of the `Authorization` header (RFC 6749, section 2.3.1)."""
    encoded = call.headers.get("AUTHORIZATION", "").removeprefix("Basic ")
    client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    return (unquote_plus(client_id), unquote_plus(secret)) if encoded else None


def check_secret(name: str, secret: str) -> None:
    settings = load_sample(name)["settings"]
    if "CLIENT_SECRET" in settings:
        assert secret == settings["CLIENT_SECRET"]
        return
    token = jwt.decode(secret, ECKey.import_key(apple_key()), algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "kid": settings["KEY_ID"]}
    claims = dict(token.claims)
    assert 60 <= claims.pop("exp") - claims.pop("iat") <= 3600
    assert claims == {
        "iss": settings["TEAM_ID"],
        "sub": settings["CLIENT_ID"],
        "aud": "https://appleid.apple.com",
    }


@pytest.mark.parametrize("name", ALL)
def test_no_provider_secret_is_in_a_cookie_a_page_or_the_log(here: SocialSetup, name: str) -> None:
    visitor = new_browser(here.site)
    with captured_log("text", logging.DEBUG) as log:
        onward = Page(visitor.submit(f"/api/auth/signin/{name}", {"callbackUrl": "/account"}))
        address = onward.find_all("meta[@http-equiv='refresh']")[0].get("content").partition("url=")[2]
        attempt = visitor.cookies.get(visitor.attempt_cookies[0]) or ""
        answer = here.providers.approve(address)
        back = visitor.send_callback(name, answer)
        assert back.headers["Location"] == f"{here.site.url}/account"
        pages = [onward.text, back.text, str(back.headers), *(visitor.get(path).text for path in ("/", "/account"))]
        session = decrypt(visitor.cookies.get(SESSION) or "")
    secrets = [
        *here.providers.issued_tokens,
        *(load_sample(name)["settings"].get("CLIENT_SECRET", apple_key()).splitlines()),
    ]
    bearer = session.pop("accessToken")
    for place in (*pages, log.getvalue(), str(session), str(visitor.cookies), attempt):
        for secret in (*secrets, SECRET, bearer, SECRET_MARKER):
            assert secret not in place
    assert bearer in here.backend.names_by_token
    assert "signed_in" in log.getvalue()
    for private in (answer["code"], answer["state"], "haneul.kim@example.com"):
        assert private not in log.getvalue()


@pytest.mark.parametrize("name", ALL)
def test_the_session_contains_the_provider_and_the_time_of_sign_in(here: SocialSetup, name: str) -> None:
    visitor = new_browser(here.site)
    assert (
        error_code(visitor.send_callback(name, here.providers.approve(visitor.start_sign_in(name), person="김새봄")))
        == ""
    )
    claims = decrypt(visitor.cookies.get(SESSION) or "")
    assert claims["provider"] == name
    assert 0 <= claims["iat"] - claims["auth_time"] <= 2
    assert claims["checked_at"] == claims["auth_time"]
    assert here.backend.names_by_token[claims["accessToken"]] == visitor.user_name == "김새봄"
    assert sorted(visitor.cookies_starting_with("munjigi.")) == ["munjigi.last-provider", "munjigi.visitor"]
    assert visitor.cookies.get("munjigi.last-provider") == name


@pytest.mark.parametrize(("name", "case"), GOOD, ids=names_of)
def test_the_backend_gets_the_documented_body_only(here: SocialSetup, name: str, case: str) -> None:
    sample, visitor = load_sample(name, case), new_browser(here.site)
    answer = here.providers.approve(visitor.start_sign_in(name), sample)
    assert error_code(visitor.send_callback(name, answer)) == ""
    assert visitor.is_signed_in
    assert here.backend.social_logins == [(name, with_tokens(sample["body"], here.providers, sample))]


def with_tokens(body: dict[str, str], scripted: ScriptedProviders, sample: dict[str, Any]) -> dict[str, str]:
    given = [token for token in scripted.issued_tokens if scripted.names_by_token.get(token)][
        -2 if "claims" in sample else -1 :
    ]
    return {key: {"<access_token>": given[0], "<id_token>": given[-1]}.get(text, text) for key, text in body.items()}


@pytest.mark.parametrize(("name", "case"), GOOD, ids=names_of)
def test_a_provider_answer_becomes_the_expected_identity(here: SocialSetup, name: str, case: str) -> None:
    sample = load_sample(name, case)
    found = asdict(identity(here, name, sample))
    assert found.pop("social_token") in here.providers.issued_tokens
    assert bool(found["id_token"]) is (name in OPENID)
    assert {found.pop("access_token"), found.pop("id_token")} <= {"", *here.providers.issued_tokens}
    fixed = {"provider": name, "name_is_unsigned": name == "apple"}
    assert found == {**load_sample(name)["identity"], **fixed, **sample["identity"]}


@pytest.mark.parametrize(("name", "case"), BAD, ids=names_of)
def test_an_answer_without_a_valid_subject_signs_nobody_in(here: SocialSetup, name: str, case: str) -> None:
    sample, visitor = load_sample(name, case), new_browser(here.site)
    answer = here.providers.approve(visitor.start_sign_in(name), sample)
    assert error_code(visitor.send_callback(name, answer)) == sample["error"]
    assert not visitor.is_signed_in
    assert here.backend.social_logins == []


def identity(world: SocialSetup, name: str, sample: dict[str, Any]) -> Identity:
    """Return the identity of a sign-in over the same sockets; no page or cookie shows all of it."""
    engine = world.site.app.extensions["munjigi"].oauth
    (registration,) = (one for one in world.site.app.extensions["munjigi"].settings.registrations if one.id == name)
    url, attempt = engine.authorization_url(registration, a_context(), None, None)
    found = engine.fetch_identity(registration, attempt, world.providers.approve(url, sample), a_context())
    assert isinstance(found, Identity)
    return found


_ODD_VALUES: tuple[Any, ...] = (..., None, "", 7, [], {}, True, "x" * 10_000)


def places(value: Any, *place: Any) -> Iterator[tuple[Any, ...]]:
    """The paths to all members of nested objects and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        yield (*place, key)
        yield from places(member, *place, key)


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the document with another value at this place; `...` removes the member."""
    copy = deepcopy(document)
    parent = copy
    for key in place[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return copy


@pytest.mark.parametrize(("name", "case"), GOOD, ids=names_of)
def test_whatever_is_missing_or_odd_in_an_answer_nothing_else_becomes_of_it(name: str, case: str) -> None:
    """A member that is missing, or of another type: the subject is the same or the answer is refused."""
    sample, provider = load_sample(name, case), providers.find(name)
    answers = {"claims": sample.get("claims", {})} | {
        part: sample[key]["answer"] for part, key in (("user", "user"), ("extra", "more")) if sample.get(key)
    }
    if not isinstance(answers.get("user"), dict):
        answers.pop("user", None)

    def read(changes: dict[str, Any]) -> Identity:
        responses = ProviderResponses(**{**answers, **changes}, form={})
        return validate_identity(provider.identity(responses), name)

    right, results = read({}), 0
    for part, document in answers.items():
        for place in places(document):
            for odd in _ODD_VALUES:
                try:
                    found = read({part: changed(document, place, odd)})
                except (ValueError, KeyError, TypeError):
                    continue
                results += 1
                assert found.subject in (right.subject, str(odd))
                assert found.email is None or found.email in str(answers)
                assert right.email_verified or odd is True or not found.email_verified
    assert results


@pytest.mark.parametrize("name", OPENID)
def test_an_id_token_with_another_nonce_is_refused(here: SocialSetup, name: str) -> None:
    visitor = new_browser(here.site)
    sample = load_sample(name)
    sample["claims"]["nonce"] = "of-another-sign-in"
    assert (
        error_code(visitor.send_callback(name, here.providers.approve(visitor.start_sign_in(name), sample)))
        == "OAuthCallback"
    )
    assert here.backend.social_logins == []


@pytest.mark.parametrize("name", ALL)
def test_state_nonce_and_verifier_are_never_repeated(here: SocialSetup, name: str) -> None:
    engine = here.site.app.extensions["munjigi"].oauth
    (registration,) = (one for one in here.site.app.extensions["munjigi"].settings.registrations if one.id == name)
    started = [engine.authorization_url(registration, a_context(), None, None)[1] for _ in range(100)]
    for part in ("state", "nonce", "code_verifier"):
        assert len({getattr(attempt, part) for attempt in started}) == 100


# --- Settings


@pytest.mark.parametrize(("client_id", "secret"), [("munjigi", "plain"), ("urn:app:1", "a:b?c"), ("a+b%", "p%s:+&=/~")])
def test_basic_authentication_form_encodes_both_credentials(client_id: str, secret: str) -> None:
    with social_setup("oidc", OIDC_CLIENT_ID=client_id, OIDC_CLIENT_SECRET=secret) as here:
        here.providers.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
        sample, visitor = load_sample("oidc"), new_browser(here.site)
        sample["settings"]["CLIENT_ID"] = client_id
        assert (
            error_code(visitor.send_callback("oidc", here.providers.approve(visitor.start_sign_in("oidc"), sample)))
            == ""
        )
        (call,) = here.providers.token_requests("oidc")
    header = base64.b64decode(call.headers["AUTHORIZATION"].removeprefix("Basic ")).decode()
    assert header == f"{quote_plus(client_id)}:{quote_plus(secret)}"  # RFC 6749, section 2.3.1
    assert "client_secret" not in call.fields


@pytest.mark.parametrize("name", [name for name in ALL if not providers.find(name).secret_required and name != "apple"])
def test_a_client_without_a_secret_sends_none(name: str) -> None:
    with social_setup(name, **{f"{name.upper()}_CLIENT_SECRET": None}) as here:
        visitor = new_browser(here.site)
        assert error_code(visitor.send_callback(name, here.providers.approve(visitor.start_sign_in(name)))) == ""
        (call,) = here.providers.token_requests(name)
    assert call.fields["client_id"] == load_sample(name)["settings"]["CLIENT_ID"]
    assert "client_secret" not in call.fields
    assert "AUTHORIZATION" not in call.headers


def test_the_backend_name_of_a_provider_can_be_set() -> None:
    with social_setup("kakao", KAKAO_BACKEND_NAME="kakao-talk") as here:
        visitor = new_browser(here.site)
        assert error_code(visitor.send_callback("kakao", here.providers.approve(visitor.start_sign_in("kakao")))) == ""
        assert [name for name, _ in here.backend.social_logins] == ["kakao-talk"]


SITE = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
BARE = ScriptedProviders(url="https://moved.example.com")


def loaded(*names: str, **changes: str | None) -> config.Settings:
    environ: dict[str, str | None] = {**SITE, **BARE.environ(*names), **changes}
    return config.load({name: text for name, text in environ.items() if text is not None})


def problems(*names: str, **changes: str | None) -> list[str]:
    with pytest.raises(config.SettingsError) as caught:
        loaded(*names, **changes)
    assert SECRET_MARKER not in str(caught.value)
    assert apple_key().splitlines()[1] not in str(caught.value)
    return [problem.split()[0] for problem in caught.value.problems]


def test_the_buttons_are_in_the_order_of_the_setting() -> None:
    names = ["line", "apple", "kakao", "oidc"]
    with social_setup(*names) as here:
        page = here.site.new_visitor().get_page("/auth/login/email")
    forms = [
        form.get("action").rpartition("/")[2] for form in page.find_all("form") if "signin" in form.get("action", "")
    ]
    buttons = [button.get("formaction", "").rpartition("/")[2] for button in page.find_all("button[@formaction]")]
    assert (forms or buttons) == names


def test_provider_names_may_have_capitals_and_spaces() -> None:
    environ = BARE.environ("kakao", "naver") | {"PROVIDERS": " Kakao , NAVER ,"}
    assert [registration.id for registration in loaded(**environ).registrations] == ["kakao", "naver"]


@pytest.mark.parametrize("listed", ["kakao,unknown", "kakao,kakao", "base", "../kakao", "kakao;naver", "__init__"])
def test_an_invalid_list_of_providers_is_refused(listed: str) -> None:
    assert problems("kakao", PROVIDERS=listed) == ["PROVIDERS"]


def test_all_problems_of_all_providers_are_named_at_once() -> None:
    assert problems(
        *ALL,
        SITE_URL="login.example.com",
        KAKAO_CLIENT_ID=None,
        NAVER_CLIENT_SECRET=f"{SECRET_MARKER} with a space",
        GITHUB_BACKEND_NAME="git/hub",
        APPLE_PRIVATE_KEY=f"no key {SECRET_MARKER}",
        OIDC_ISSUER=None,
        GOOGLE_BASE_URL="http://google.example.com",
    ) == [
        "SITE_URL",
        "APPLE_PRIVATE_KEY",
        "GITHUB_BACKEND_NAME",
        "GOOGLE_BASE_URL",
        "KAKAO_CLIENT_ID",
        "NAVER_CLIENT_SECRET",
        "OIDC_ISSUER",
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_provider_that_is_not_listed_needs_no_settings(name: str) -> None:
    assert loaded(**{f"{name.upper()}_CLIENT_ID": "has a space"}, PROVIDERS="").registrations == ()


@pytest.mark.parametrize("name", ALL)
def test_no_secret_is_in_the_repr_of_the_settings(name: str) -> None:
    shown = f"{loaded(name)!r}"
    assert SECRET_MARKER not in shown
    assert apple_key().splitlines()[1] not in shown


def apple_settings(form: str, folder: Any) -> str:
    path = folder / "AuthKey_F6G7H8I9J0.p8"
    path.write_text(apple_key())
    return {
        "pem": apple_key(),
        "pem with \\n": apple_key().replace("\n", "\\n"),
        "base64": base64.b64encode(apple_key().encode()).decode(),
        "path": str(path),
    }[form]


def test_apples_client_secret_is_valid_even_if_its_clock_is_a_minute_behind_or_ahead(here: SocialSetup) -> None:
    visitor = new_browser(here.site)
    visitor.send_callback("apple", here.providers.approve(visitor.start_sign_in("apple")))
    (call,) = here.providers.token_requests("apple")
    claims = jwt.decode(call.fields["client_secret"], ECKey.import_key(apple_key()), algorithms=["ES256"]).claims
    assert claims["iat"] <= time.time() - 60
    assert claims["exp"] >= time.time() + 60


@pytest.mark.parametrize("form", ["pem", "pem with \\n", "base64", "path"])
def test_apples_key_is_accepted_in_each_of_its_formats(form: str, tmp_path: Any) -> None:
    (registration,) = loaded("apple", APPLE_PRIVATE_KEY=apple_settings(form, tmp_path)).registrations
    check_secret("apple", registration.provider.client_secret(registration, 1_800_000_000) or "")


@pytest.mark.parametrize(
    "wrong", ["AuthKey.p8", "/no/such/key.p8", "-----BEGIN PRIVATE KEY-----", "bm8ga2V5", "~secret~", "key.pem"]
)
def test_an_invalid_apple_key_is_refused(wrong: str) -> None:
    assert problems("apple", APPLE_PRIVATE_KEY=wrong) == ["APPLE_PRIVATE_KEY"]


def test_apples_key_has_to_be_a_private_p_256_key() -> None:
    public = ECKey.import_key(apple_key()).as_pem(private=False)
    other_curve = ECKey.generate_key("P-384").as_pem(private=True)
    for key in (public, other_curve):
        assert problems("apple", APPLE_PRIVATE_KEY=key.decode()) == ["APPLE_PRIVATE_KEY"]


@pytest.mark.parametrize("part", ["TEAM_ID", "KEY_ID", "PRIVATE_KEY"])
def test_apple_needs_team_key_id_and_key_or_a_ready_secret(part: str) -> None:
    assert problems("apple", **{f"APPLE_{part}": None}) == ["APPLE_CLIENT_ID"]
    (registration,) = loaded("apple", **{f"APPLE_{part}": None, "APPLE_CLIENT_SECRET": "a.ready.one"}).registrations
    assert registration.provider.client_secret(registration, 0) == "a.ready.one"


@pytest.mark.parametrize(
    "address", ["https://proxy.example.com/x", "http://localhost:8081", "http://127.0.0.1", "http://[::1]:1/a"]
)
def test_a_base_url_may_be_https_or_this_machine(address: str) -> None:
    (registration,) = loaded("kakao", KAKAO_BASE_URL=address).registrations
    assert registration.url("https://kauth.kakao.com/oauth/token") == f"{address}/oauth/token"
    assert registration.issuer == "https://kauth.kakao.com"


@pytest.mark.parametrize(
    "address",
    [
        "http://proxy.example.com",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://[::2]",
        "ftp://localhost",
        "//localhost",
        "https://a.example?x=1",
        "javascript:alert(1)",
    ],
)
@pytest.mark.parametrize("setting", ["KAKAO_BASE_URL", "OIDC_ISSUER"])
def test_a_base_url_over_plain_http_to_another_host_is_refused(setting: str, address: str) -> None:
    assert problems("kakao", "oidc", **{setting: address}) == [setting]


def test_without_a_base_url_the_real_provider_is_used() -> None:
    for name in ALL:
        (registration,) = loaded(name, **{f"{name.upper()}_BASE_URL": None}).registrations
        real = registration.url(providers.find(name).token_url)
        assert re.fullmatch(r"https://[a-z0-9.]+/[a-z0-9/._]+", real) or providers.find(name).discovery


@pytest.mark.parametrize("label", ["Discord", {"ko": "디스코드"}])
def test_a_label_without_an_english_name_is_refused_with_the_name_of_the_file(label: Any) -> None:
    with pytest.raises(TypeError, match=r"providers/discord\.py: label must have the name in English"):
        replace(providers.find("discord"), label=label)


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"images": [{"url": "x"}]}, ("images", 0, "url"), "x"),
        ({"images": []}, ("images", 0, "url"), None),
        ({"images": None}, ("images", 0, "url"), None),
        ({"images": "text"}, ("images", 0), None),
        ({"images": {0: "x"}}, ("images", 0), None),
        (["x"], ("url",), None),
        ("text", ("url",), None),
    ],
)
def test_a_value_is_found_below_keys_and_list_indexes(value: Any, path: tuple[str | int, ...], found: Any) -> None:
    assert dig(value, *path) == found
