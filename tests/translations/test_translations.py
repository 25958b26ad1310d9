"""Every text has a translation, the compiled catalogs are current, and a folder adds a language."""

import io
import re
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import errors
import providers
import settings_readers
from dev.backend import PASSWORD
from scripts.compile_translations import compile_complete
from tests.support.login_page import ANDROID_WEB_VIEW, EVERY_PROVIDER, LOGIN
from tests.support.site import ACCOUNT_PATHS, MINJI, Page, Site, SiteMaker, Visitor, cookie_names, running_site
from web import locale

ROOT = Path(__file__).parents[2]
CATALOGUES = sorted(
    path for path in settings_readers.TRANSLATIONS.glob("*/LC_MESSAGES/messages.po") if path.with_suffix(".mo").exists()
)
"""Those of the languages that the site offers."""
TRANSLATED = [path.parts[-3] for path in CATALOGUES]

each_catalogue = pytest.mark.parametrize("path", CATALOGUES, ids=TRANSLATED)
each_translation = pytest.mark.parametrize("code", TRANSLATED)


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


@lru_cache
def sentences() -> set[str | tuple[str, ...]]:
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]  # of Babel
    keywords = {"_": None, "_l": None, "gettext": None, "ngettext": (1, 2)}
    return {found[2] for found in extract_from_dir(ROOT, methods, options, keywords)}


def error_codes() -> list[str]:
    found, left = [], [errors.SiteError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found.append(kind.code)
    return sorted(set(found) - {"InvalidFields"})


@each_catalogue
def test_every_catalog_translates_exactly_the_sentences_of_the_code(path: Path) -> None:
    texts, found = catalogue(path), sentences()
    assert len(found) > 50
    for sentence in found:
        message = texts.get(sentence)
        assert message is not None, sentence
        assert all(message.string) if isinstance(message.string, tuple) else message.string, sentence
        assert not message.fuzzy, sentence
        assert list(message.check(texts)) == []  # placeholders and plural forms
    assert {message.id for message in texts if message.id} == found


@each_catalogue
def test_the_compiled_catalogs_match_their_sources(path: Path) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(path))
    assert path.with_suffix(".mo").read_bytes() == compiled.getvalue()


def test_no_complete_catalog_waits_to_be_compiled() -> None:
    assert not [line for line in compile_complete(settings_readers.TRANSLATIONS) if "does not offer" not in line]
    assert [code for code in settings_readers.languages() if code != "en"] == TRANSLATED


def test_a_language_is_offered_when_its_last_text_is_filled_in(own_translations: Path) -> None:
    write_translation(own_translations, "pt_BR")
    path = own_translations / "pt_BR" / "LC_MESSAGES" / "messages.po"
    complete = path.read_text("utf-8")
    path.with_suffix(".mo").unlink()
    for unfinished in (
        complete.replace('msgstr "«Cancel»"', 'msgstr ""'),
        complete.replace('msgid "Cancel"', '#, fuzzy\nmsgid "Cancel"'),
        complete.replace("«Use %(max)d characters or fewer.»", "«Use %(most)d characters or fewer.»"),
    ):
        assert unfinished != complete
        path.write_text(unfinished, "utf-8")
        assert [line for line in compile_complete(own_translations) if line.startswith("pt_BR: 1 of ")]
        assert "pt_BR" not in settings_readers.languages()
    path.write_text(complete, "utf-8")
    assert not [line for line in compile_complete(own_translations) if line.startswith("pt_BR")]
    assert "pt_BR" in settings_readers.languages()


@each_catalogue
def test_a_catalog_folder_has_the_normalized_name_of_its_locale(path: Path) -> None:
    assert str(Locale.parse(path.parts[-3])) == path.parts[-3]


@each_catalogue
def test_no_catalog_contains_provider_names(path: Path) -> None:
    for name in providers.names():
        for label in providers.find(name).label.values():
            assert not re.search(rf"\b{label}\b", path.read_text("utf-8")), label


@pytest.mark.parametrize("code", error_codes())
def test_every_error_code_has_a_text_in_every_language(visitor: Visitor, code: str) -> None:
    said = set()
    for one in settings_readers.languages():
        page = visitor.get_page(f"{LOGIN}?error={code}", headers={"Accept-Language": one})
        assert page.status == 200
        said.add(page.message)
    assert len(said) == len(settings_readers.languages())
    assert ("Something went wrong. Try again." in " ".join(said)) == (code == "Default")


def test_all_documented_error_codes_have_a_text() -> None:
    assert set(error_codes()) - {"Default"} == {
        "AccountMismatch",
        "CredentialsSignin",
        "OAuthSignin",
        "OAuthCallback",
        "Callback",
        "OAuthAccountNotLinked",
        "LinkedElsewhere",
        "LastSignInMethod",
        "LinkRefused",
        "SessionChanged",
        "AccessDenied",
        "Configuration",
        "SessionRequired",
        "Cancelled",
        "TooManyAttempts",
        "WrongCode",
        "StepNotDone",
        "CodeExpired",
        "CodeSentRecently",
        "TooManyCodes",
        "NextStepRequired",
        "EmailNotVerified",
        "EmailMissing",  # for a 422 address, after a after a social sign-in
        "BackendUnavailable",
        "ProviderUnavailable",
        "AttemptExpired",
        "PasskeyNotAdded",
        "PasskeyRejected",
        "RecentSignInRequired",
        "FormExpired",
        "SessionExpired",
        "CookiesBlocked",
        "OriginMismatch",
        "SignUpClosed",
        "Verification",
    }


# --- Nothing stays in English


@pytest.fixture(scope="module")
def full_site() -> Iterator[Site]:
    """A site with every link and button, and a page that fails."""
    given: dict[str, Any] = {**EVERY_PROVIDER, "reset_password_url": "/forgot", "sign_up_url": "/join"}

    def bug() -> str:
        raise RuntimeError

    with running_site(**given) as site:
        site.app.view_functions["health.live"] = bug
        yield site


def every_page(site: Site, code: str) -> Iterator[tuple[str, Page]]:
    """Yield each page and state in this language, with its name."""
    spoken = {"Accept-Language": code}
    visitor = site.new_visitor(**spoken)
    for address in ("/", LOGIN, "/nowhere", "/health/live", *(f"{LOGIN}?error={one}" for one in error_codes())):
        yield address, visitor.get_page(address)
    for wait in (1, 59, 600, 60_000):
        yield f"waits {wait}", visitor.get_page(f"{LOGIN}?error=TooManyAttempts&wait={wait}")
    for typed in ({}, {"email": "minji"}, {"email": f"{'m' * 250}@example.com", "password": "x" * 1025}):
        yield f"typed {typed}", Page(visitor.submit(LOGIN, typed))
    for who in ("unverified", "locked", "throttled", "down", "html"):
        yield who, Page(visitor.sign_in(f"{who}@example.com"))
    yield "no token", Page(visitor.post(LOGIN, data={}))
    yield "no cookie", Page(site.new_visitor(**spoken).post(LOGIN, data={}))
    yield "no such method", Page(visitor.delete("/account"))
    yield "too large", Page(visitor.post(LOGIN, data={"email": "x" * 100_000}))
    yield "not understood", Page(visitor.post(LOGIN, data="x", headers={"Content-Type": "text/plain"}))
    yield "in an app", site.new_visitor(**spoken, **{"User-Agent": f"{ANDROID_WEB_VIEW} Instagram 334"}).get_page(LOGIN)
    yield (
        "in an app with a way out",
        site.new_visitor(**spoken, **{"User-Agent": f"{ANDROID_WEB_VIEW};KAKAOTALK 24"}).get_page(LOGIN),
    )
    yield "on the way", Page(visitor.submit("/api/auth/signin/github", {}))
    visitor.cookies.set("munjigi.last-provider", "line", domain="localhost.local", path="/")
    yield "used before", visitor.get_page(LOGIN)
    yield from _pages_of_a_person(site.new_visitor(**spoken))


def _pages_of_a_person(visitor: Visitor) -> Iterator[tuple[str, Page]]:
    assert visitor.sign_in(MINJI, PASSWORD).status_code == 303
    for address in ("/", "/account", "/auth/logout"):
        yield f"{address}, signed in", visitor.get_page(address)
    for typed in ({"name": ""}, {"name": "민" * 201}, {"name": "a\tb"}):
        yield f"typed {typed}", Page(visitor.submit("/account", typed))
    yield "not saved", Page(visitor.post("/account", data={"name": "민지"}))
    yield "not signed out", Page(visitor.post("/auth/logout", data={}))
    visitor.submit("/account", {"name": "김민지", "nick_name": "민지"})
    yield "saved", visitor.get_page("/account")
    visitor.submit("/auth/logout", {})
    yield "signed out", visitor.get_page("/")


NAMES = {"Munjigi", "English", "Caps", "Lock", "Cookie", "ID", "name@example.com", MINJI}
NAMES |= {word for provider in providers.in_order() for word in provider.label["en"].split()}
NAMES |= {
    "JavaScript",
    "PIN",
    "Instagram",
    "KakaoTalk",
}


LATIN = {"de", "es", "fr", "vi"}
SAME_IN = {
    code: {message.id for message in catalogue(path) if message.id == message.string}
    for code, path in zip(TRANSLATED, CATALOGUES, strict=True)
}
"""Texts that are the same word in English and in another language: `Code`, `Name`."""


def english_in(page: Page, code: str) -> list[str]:
    """Return the English on a page, without names and the request id.

    In a language with another script, any word in Latin letters; in the others, the English sentences of the code.
    """
    attributes = ("aria-label", "alt", "title", "placeholder", "data-message", "data-done-message")
    said = [one.get(name, "") for one in page.find_all("*") for name in attributes]
    text = " ".join([*page.texts("title"), *page.texts("body"), *said])
    for part in (*page.texts("code"), *page.texts("nav//a"), "OpenID Connect"):  # ids, names
        text = text.replace(part, " ")
    if code in LATIN:
        return [each for each in map(str, sentences()) if re.search(rf"\b{re.escape(each)}(?!\w)", text)]
    return [word for word in re.findall(r"[A-Za-z][\w@.-]*[A-Za-z]", text, re.ASCII) if word not in NAMES]


@each_translation
def test_a_translated_page_contains_no_english(full_site: Site, code: str) -> None:
    seen = 0
    for name, page in every_page(full_site, code):
        assert page.document.get("lang") == locale.language_tag(code), name
        assert set(english_in(page, code)) <= SAME_IN.get(code, set()), name
        seen += 1
    assert seen > 50


def test_only_languages_with_a_space_between_sentences_have_one(make_site: SiteMaker) -> None:
    visitor = make_site(**ACCOUNT_PATHS).new_visitor()
    for code in settings_readers.languages():
        page = visitor.get_page("/auth/password/forgot", headers={"Accept-Language": code})
        sentences_end = "。" if code in {"ja", "zh_Hans", "zh_Hant"} else ". "
        assert re.search(rf"{re.escape(sentences_end)}\w", page.texts("p")[0]), code


@pytest.mark.corpus
def test_the_english_check_recognizes_every_english_page(full_site: Site) -> None:
    for name, page in every_page(full_site, "en"):
        assert english_in(page, "ko"), name
        assert english_in(page, "vi"), name


def test_french_has_its_spaces_and_apostrophes() -> None:
    texts = [str(message.string) for message in catalogue(settings_readers.TRANSLATIONS / "fr/LC_MESSAGES/messages.po")]
    assert any("\u202f?" in text for text in texts[1:])
    for text in texts[1:]:
        assert not re.search(r"[^\u202f][?!;]|[^\u00a0]:|'", text), text


# --- Language selection


@pytest.mark.parametrize(
    ("wish", "given"),
    [
        ("ko-KR,ko;q=0.9,en-US;q=0.8", "ko"),
        ("ja-JP,en;q=0.5", "ja"),
        ("en-GB", "en"),
        ("sv-SE,ja;q=0.3,en;q=0.7", "en"),
        ("sv,en;q=0", "ko"),
        ("sv", "ko"),
        ("*", "ko"),
        ("", "ko"),
        ("../../etc", "ko"),
        ("ja" * 5000, "ko"),
        ("ja-JP-u-mu-celsius", "ja"),
        ("ja-JP-u-ca-japanese-hc-h12,en;q=0.9", "ja"),
        ("sv-FI-u-mu-celsius,ja-Jpan-JP-x-own;q=0.9,en;q=0.8", "ja"),
        ("en-US-u-mu-celsius,ja;q=0.9", "en"),
        ("JA_jp", "ja"),
        ("ja ; q = 0.5 , sv;q=0.4", "ja"),
        ("en;q=0.5;x=1,ja;q=.9", "ja"),
        ("en;q=high,ja;q=0.1", "ja"),
        ("en;q=0.4,ja;Q=0.7", "ja"),
        ("en;q=0.000,ja;q=0.001", "ja"),
        ("*,ja;q=0.1", "ja"),
        ("x-ja", "ko"),
        ("i-ja,en;q=0.1", "en"),
        ("jav,en;q=0.1", "en"),
        (",;,-,_,;q=1,ja", "ja"),
        ("ja-Kana-x-" + "a" * 200, "ja"),
        ("\x80\xff,ja;q=0.1", "ja"),
        ("ko-" * 80, "ko"),
    ],
)
def test_a_browser_gets_its_most_preferred_available_language(visitor: Visitor, wish: str, given: str) -> None:
    assert visitor.get_page("/", headers={"Accept-Language": wish}).document.get("lang") == given


@pytest.mark.parametrize(
    ("wish", "given"),
    [
        ("zh-TW", "zh_Hant"),
        ("zh-HK", "zh_Hant"),
        ("zh", "zh_Hant"),
        ("pt-BR", "pt_BR"),
        ("pt", "pt_BR"),
        ("pt-PT", "pt_PT"),
        ("pt-AO", "pt_BR"),
        ("pt-PT-u-mu-celsius", "pt_PT"),
        ("pt-PT-x-own,pt-BR;q=0.9", "pt_PT"),
        ("zh-Hant-TW-u-co-stroke", "zh_Hant"),
    ],
)
def test_another_region_of_a_language_is_used_if_there_is_no_exact_match(wish: str, given: str | None) -> None:
    assert locale._best_match(wish, ("en", "pt_BR", "pt_PT", "zh_Hant")) == given


@pytest.mark.parametrize(
    ("wish", "given"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_Hans"),
        ("zh-SG", "zh_Hans"),
        ("zh", "zh_Hans"),
        ("zh-Hans-HK", "zh_Hans"),
        ("zh-cmn-Hans-CN", "zh_Hans"),
        ("zh-CN-x-hant", "zh_Hans"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh_Hant"),
        ("zh-HK", "zh_Hant"),
        ("zh-MO", "zh_Hant"),
        ("ZH_tw", "zh_Hant"),
        ("zh-Hant-CN", "zh_Hant"),
        ("cmn-TW", "zh_Hant"),
        ("zh-yue-HK", "zh_Hant"),
        ("es-MX", "es"),
        ("es-419,en", "es"),
        ("de-CH", "de"),
        ("fr-CA,en;q=0.9", "fr"),
        ("vi-VN", "vi"),
        ("zho-TW", "zh_Hant"),
        ("zh-", "zh_Hans"),
        ("-zh", None),
    ],
)
def test_the_script_follows_from_the_region(wish: str, given: str | None) -> None:
    assert locale._best_match(wish, ("en", "de", "es", "fr", "vi", "zh_Hans", "zh_Hant")) == given


def test_a_plain_language_is_not_offered_for_another_script() -> None:
    assert locale._best_match("zh-TW", ("en", "zh", "zh_Hant_HK")) == "zh_Hant_HK"
    assert locale._best_match("zh-TW", ("en", "zh")) == "zh"  # still easier to read than English


def test_the_site_offers_the_languages_of_its_setting(make_site: SiteMaker) -> None:
    site = make_site(languages="ja,en", default_locale="en")
    visitor = site.new_visitor(**{"Accept-Language": "ko,ja;q=0.5"})
    page = visitor.get_page(f"{LOGIN}?lang=ko")
    assert page.document.get("lang") == "ja"
    assert [link.get("hreflang") for link in page.find_all("footer//a")] == ["ja", "en"]
    assert site.new_visitor(**{"Accept-Language": "ko"}).get_page(LOGIN).document.get("lang") == "en"


def test_a_chosen_language_is_remembered_and_an_unknown_one_ignored(visitor: Visitor) -> None:
    for choice, shown in (("ja", "ja"), ("xx", "ja"), ("ko-KR", "ko"), ("", "ko"), ("en", "en")):
        assert visitor.get_page(f"/?lang={choice}").document.get("lang") == shown
        assert visitor.get_page(LOGIN).document.get("lang") == shown


@pytest.mark.parametrize(
    "path", ["/auth/static/site.css", "/api/auth/session", "/auth/verify", "/health/live", "/none"]
)
def test_only_pages_accept_a_language_choice(visitor: Visitor, path: str) -> None:
    """A shared cache may keep a style sheet and would give one visitor's cookie to the next."""
    visitor.get("/auth/login/email")
    assert cookie_names(visitor.get(f"{path}?lang=en")) == set()


# --- Adding a language


@pytest.fixture
def own_translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "translations"
    for code in ("ja", "ko"):
        shutil.copytree(settings_readers.TRANSLATIONS / code, folder / code)
    monkeypatch.setattr(settings_readers, "TRANSLATIONS", folder)
    return folder


def write_translation(folder: Path, code: str) -> None:
    """Write a catalog as a translator and `make messages` do; each text is the English one in «guillemets»."""
    texts = Catalog(locale=code)
    for sentence in sentences():
        assert isinstance(sentence, str)
        texts.add(sentence, f"«{sentence}»")
    (folder / code / "LC_MESSAGES").mkdir(parents=True)
    with (folder / code / "LC_MESSAGES" / "messages.po").open("wb") as file:
        write_po(file, texts)
    with (folder / code / "LC_MESSAGES" / "messages.mo").open("wb") as file:
        write_mo(file, texts)


@pytest.mark.parametrize(
    ("code", "wish", "tag", "direction", "own_name", "minute"),
    [
        ("zh_Hant", "zh-TW,zh;q=0.9,en;q=0.5", "zh-Hant", "ltr", "繁體中文", "1 分鐘"),
        ("ar", "ar-EG", "ar", "rtl", "العربية", "دقيقة"),
        ("pt_BR", "pt", "pt-BR", "ltr", "Português (Brasil)", "1 minuto"),
    ],
)
def test_a_new_catalog_is_enough_to_add_a_language(
    own_translations: Path,
    make_site: SiteMaker,
    code: str,
    wish: str,
    tag: str,
    direction: str,
    own_name: str,
    minute: str,
) -> None:
    write_translation(own_translations, code)
    site = make_site(**EVERY_PROVIDER, default_locale=tag)
    page = site.new_visitor(**{"Accept-Language": wish}).get_page(f"{LOGIN}?error=TooManyAttempts&wait=60")
    assert (page.document.get("lang"), page.document.get("dir")) == (tag, direction)
    assert page.heading == "«Sign in»"
    assert page.message == f"«We could not sign you in» «Too many attempts.» «Try again in {minute}.»"
    assert "«Sign in with GitHub»" in page.texts("button")
    assert page.texts("a[@aria-current='true']") == [own_name]
    assert site.new_visitor(**{"Accept-Language": "sv"}).get_page("/").heading == "«Not signed in»"  # DEFAULT_LOCALE
    link = next(one.get("href") for one in page.find_all("nav//a") if one.get("lang") == tag)
    english = site.new_visitor()
    assert english.get_page("/").heading == "Not signed in"
    assert english.get_page(link).heading == "«Sign in»"


def test_if_locale_selection_fails_the_error_page_is_english(make_site: SiteMaker) -> None:
    site = make_site()
    site.app.config["LANGUAGES"] = None
    page = site.new_visitor(**{"Accept-Language": "ja"}).get_page("/")
    assert (page.status, page.heading, page.document.get("lang")) == (500, "Something went wrong on our side", "en")
