"""Settings are loaded once, checked together, and documented one by one."""

import io
import re

import pytest
from dotenv import dotenv_values
from limits import RateLimitItem

import config
import settings_readers
from app import create_app
from config import SettingsError
from tests.support.commands import ROOT
from tests.support.setting_names import BACKEND_SETTINGS, PROVIDER_SETTINGS, SETTINGS
from tests.support.site import SECRET, make_settings

GOOD = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com/v2"}


def problems(**given: str) -> str:
    with pytest.raises(SettingsError) as caught:
        config.load({**GOOD, **given})
    return str(caught.value)


def test_three_settings_are_enough() -> None:
    loaded = config.load(GOOD)
    assert (loaded.origin, loaded.site_path, loaded.secure) == ("https://login.example.com", "", True)
    assert loaded.backend_concurrency == 100


def test_every_problem_is_named_at_once_with_an_example() -> None:
    message = problems(SECRET_KEY="", SITE_URL="login.example.com", SESSION_MAX_AGE="soon", PROXY_HOPS="-1", PORT="0")
    assert "5 settings need attention" in message
    assert "SECRET_KEY is required" in message
    assert "SITE_URL must start with https:// or http://" in message
    assert "SESSION_MAX_AGE must be a whole number from 60 to 315360000, not 'soon'" in message
    assert "PROXY_HOPS must be" in message
    assert "PORT must be" in message
    assert message.count("for example: ") == 5


def test_all_missing_required_settings_are_named_together() -> None:
    with pytest.raises(SettingsError) as caught:
        config.load({})
    assert [problem.split()[0] for problem in caught.value.problems] == ["SITE_URL", "SECRET_KEY", "BACKEND_URL"]


@pytest.mark.parametrize(
    "weak",
    [
        "secret",
        "changeme" * 5,
        "a" * 40,
        "abcabc" * 10,
        "your-secret-key-goes-here-please!!",
        "<what openssl rand -base64 33 prints>",
    ],
)
def test_a_weak_secret_is_refused_and_not_shown(weak: str) -> None:
    for name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS"):
        assert weak not in problems(**{name: weak})


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa55@127.0.0.1:6379/0",
        "redis://[::1]:6379/1",
        "rediss://redis.example.com:6380/0?ssl_ca_certs=/etc/ssl/redis.pem",
        "redis+cluster://:pa55@10.0.0.1:6379,10.0.0.2:6379",
    ],
)
def test_redis_url_may_be_one_server_or_a_cluster(url: str) -> None:
    assert make_settings(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    "wrong",
    [
        "pa55",
        "http://:pa55@redis.example.com",
        "redis://",
        "redis://:pa55@host:99999",
        "redis+cluster://:pa55@10.0.0.1:6379,,",
        "redis://:pa55@127.0.0.1:6379/0?protocol=3",  # query parameters would override options that the site needs
        "redis://:pa55@127.0.0.1:6379/0?ssl_ca_certs=/x&socket_timeout=30",
        "redis://:pa55@127.0.0.1:6379/0?decode_responses",
    ],
)
def test_an_invalid_redis_url_is_refused_and_its_password_not_shown(wrong: str) -> None:
    message = problems(REDIS_URL=wrong)
    assert "REDIS_URL must be" in message
    assert "pa55" not in message


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    assert "hunter2" not in problems(BACKEND_URL="https://admin:hunter2@api.example.com")


def test_secrets_are_not_in_the_repr() -> None:
    assert SECRET not in repr(make_settings(secret_key_fallbacks=SECRET))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://Login.Example.COM/", "https://login.example.com"),
        ("https://login.example.com:443", "https://login.example.com"),
        ("http://localhost:80/", "http://localhost"),
        ("https://example.com:8443/login-site/", "https://example.com:8443/login-site"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("  https://login.example.com ", "https://login.example.com"),
        ("http://[0:0:0:0:0:0:0:1]:8742", "http://[::1]:8742"),
        ("https://[2001:DB8:0::00a]:443", "https://[2001:db8::a]"),
        ("HTTPS://login.example.com:", "https://login.example.com"),
        ("http://localhost:00080", "http://localhost"),
        ("https://xn--bj0bj06e.kr/auth", "https://xn--bj0bj06e.kr/auth"),
    ],
)
def test_a_site_url_is_normalized(given: str, read: str) -> None:
    assert config.load({**GOOD, "SITE_URL": given}).site_url == read


@pytest.mark.parametrize(
    "wrong",
    [
        "ftp://login.example.com",
        "https://",
        "https:///path",
        "https://로그인.한국",
        "https://login.example.com?x=1",
        "https://login.example.com#x",
        "https://user@login.example.com",
        "https://login.example.com:99999",
        "https://login.example.com:port",
        "https://login.example.com//x",
        "https://login.example.com/../x",
        "https://login example.com",
        "https://[::1",
        "https://[::1]x",
        "http://[fe80::1%25eth0]",
        "http://[::ffff:127.0.0.1]",
        "https://login.example.com.",
        "https://login..example.com",
        "https://login.example.com:0",
        "https://@login.example.com",
        "https://lo%67in.example.com",
        "https://login.example.com;x",
        "http://127.1:8000",
        "http://127.0.0.01:8000",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://127.0.0.1.",
        f"https://{'a' * 64}.example.com",
        "https://example.com/a;b",
        "https://example.com/%EB%A1%9C",
    ],
)
def test_an_invalid_site_url_is_refused(wrong: str) -> None:
    assert "SITE_URL must" in problems(SITE_URL=wrong)


def test_other_urls_may_have_another_spelling_of_the_same_host() -> None:
    loaded = config.load({**GOOD, "BACKEND_URL": "http://[0::1]:8000", "OUTBOUND_NO_PROXY": "[0::1], Api.Internal."})
    assert loaded.backend_url == "http://[::1]:8000"
    assert loaded.outbound_no_proxy == ("::1", "api.internal")
    kubernetes = "http://backend.default.svc.cluster.local.:8000"
    assert config.load({**GOOD, "BACKEND_URL": kubernetes}).backend_url == kubernetes
    assert settings_readers.is_safe("http://[0:0:0:0:0:0:0:1]:8081")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("BACKEND_LOGIN_PATH", "login"),
        ("BACKEND_LOGOUT_PATH", "//evil.example"),
        ("BACKEND_TIMEOUT", "0"),
        ("BACKEND_TIMEOUT", "inf"),
        ("SESSION_REVALIDATE", "300s"),
        ("EXPOSE_ACCESS_TOKEN", "yes"),
        ("FORWARD_ACCESS_TOKEN", "bearer"),
        ("SITE_NAME", "x" * 61),
        ("BRAND_COLOR", "red"),
        ("REGISTER_FIELDS", "password"),
        ("REGISTER_FIELDS", "csrfToken"),
        ("REGISTER_FIELDS", "a b a"),
        ("REGISTER_FIELDS", "a:file"),
        ("REGISTER_FIELDS", "한글"),
        ("REGISTER_FIELDS", "a='x"),
        ("REGISTER_FIELDS", "a=x;한=y"),
        ("PASSWORD_RULES", "Ten;ko"),
        ("PASSWORD_RULES", ";ko=열"),
        ("MAIL_LIMIT_PER_IP", "5"),
        ("LOGO_URL", "javascript:alert(1)"),
        ("LOGO_URL", "https://로고.한국/logo.svg"),
        ("LOGO_URL", "https://[::1/logo.svg"),
        ("BACKEND_URL", "http://127.1"),
        ("SIGN_UP_URL", "//evil.example"),
        ("RESET_PASSWORD_URL", "https://"),
        ("DEFAULT_LOCALE", "xx"),
        ("LANGUAGES", "ko,xx"),
        ("LANGUAGES", "ko,KO"),
        ("LANGUAGES", ","),
        ("TEMPLATES_DIR", "/no/such/folder"),
        ("LOGIN_IDENTIFIER", "e-mail"),
        ("WORKERS", "0"),
        ("BACKEND_CONCURRENCY", "1e3"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, wrong: str) -> None:
    assert f"{name} " in problems(**{name: wrong})


def test_the_default_language_must_be_one_that_the_site_offers() -> None:
    assert "DEFAULT_LOCALE must be one of LANGUAGES" in problems(LANGUAGES="en,ja")
    given = {**GOOD, "LANGUAGES": "en, ja", "DEFAULT_LOCALE": "ja"}
    assert config.load(given).languages == ("en", "ja")


def test_fallback_keys_follow_the_current_key() -> None:
    loaded = config.load({**GOOD, "SECRET_KEY_FALLBACKS": f"{SECRET}-1, {SECRET}-2"})
    assert loaded.secret_keys == (SECRET, f"{SECRET}-1", f"{SECRET}-2")


def test_the_example_file_names_exactly_the_existing_settings() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    named = re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)
    assert sorted(named) == sorted([*SETTINGS, *BACKEND_SETTINGS, *PROVIDER_SETTINGS])


def test_the_example_file_shows_the_defaults_and_can_be_loaded() -> None:
    text = re.sub(r"^#(?=[A-Z_]+=)", "", (ROOT / ".env.example").read_text("utf-8"), flags=re.MULTILINE)
    shown = {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value}
    shown |= {"SECRET_KEY": SECRET, "TEMPLATES_DIR": str(ROOT)}
    shown = {
        name: value for name, value in shown.items() if name not in BACKEND_SETTINGS
    }  # examples that exclude each other
    loaded = config.load(shown)
    assert loaded.backend.id == shown.pop("BACKEND") == "laravel"
    for name, field in SETTINGS.items():
        default = field.metadata["default"]
        if shown.get(name) and isinstance(default, int | float | str | bool | RateLimitItem):
            assert getattr(loaded, field.name) == default, name


def test_an_extension_finds_the_settings_in_the_configuration_of_the_app() -> None:
    site_settings = make_settings(site_name="Hotel Haru")
    app = create_app(site_settings)
    assert app.config["MUNJIGI"] is site_settings
    assert SECRET not in repr(app.config["MUNJIGI"])


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, "max-age=31536000"),
        ("", ""),
        ("   ", ""),
        ("max-age=0", "max-age=0"),
        ("Max-Age = 600 ; INCLUDESUBDOMAINS;", "max-age=600; includeSubDomains"),
        ('max-age="63072000"; preload; includeSubDomains', "max-age=63072000; includeSubDomains; preload"),
    ],
)
def test_hsts_is_a_header_value_and_may_be_empty(given: str | None, read: str) -> None:
    assert make_settings(hsts=given).hsts == read


@pytest.mark.parametrize(
    "wrong",
    [
        "true",
        "31536000",
        "includeSubDomains",
        "includeSubDomains; max-age=1",
        "max-age",
        "max-age=-1",
        "max-age=1y",
        "max-age=1, includeSubDomains",
        "max-age=1; max-age=2",
        "max-age=1; includeSubDomains; includeSubDomains",
        "max-age=1\r\nX: y",
        "max-age=31536000; preload",
        "max-age=600; includeSubDomains; preload",
        ";",
    ],
)
def test_an_invalid_hsts_is_refused(wrong: str) -> None:
    assert "HSTS must" in problems(HSTS=wrong)
