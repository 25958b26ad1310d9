"""Every sentence has its text in every language, and what is compiled is what is written."""

import io
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import config_readers
import errors
from tests.site import Visitor

ROOT = Path(__file__).parent.parent
CATALOGUES = sorted(config_readers.TRANSLATIONS.glob("*/LC_MESSAGES/messages.po"))


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


def sentences() -> set[str | tuple[str, ...]]:
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]  # of Babel
    keywords = {"_": None, "_l": None, "gettext": None, "ngettext": (1, 2)}
    return {found[2] for found in extract_from_dir(ROOT, methods, options, keywords)}


def codes() -> list[str]:
    found, left = [], [errors.SiteError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found.append(kind.code)
    return sorted(set(found) - {"InvalidFields"})


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_sentence_is_translated(path: Path) -> None:
    texts = catalogue(path)
    assert len(sentences()) > 50
    for sentence in sentences():
        message = texts.get(sentence)
        assert message is not None, sentence
        assert all(message.string) if isinstance(message.string, tuple) else message.string, sentence
        assert not message.fuzzy
        assert list(message.check(texts)) == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_what_is_compiled_is_what_is_written(path: Path) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(path))
    assert path.with_suffix(".mo").read_bytes() == compiled.getvalue()


@pytest.mark.parametrize("code", codes())
def test_every_code_says_something_of_its_own_in_both_languages(visitor: Visitor, code: str) -> None:
    said = {}
    for language in ("ko", "en"):
        page = visitor.page(f"/auth/login/email?error={code}", headers={"Accept-Language": language})
        assert page.status == 200
        said[language] = page.problem
    assert said["ko"] != said["en"]
    assert any("가" <= char <= "힣" for char in said["ko"])
    if code != "Default":
        assert "Something went wrong. Try again." not in said["en"]


def test_the_contracts_codes_are_all_there() -> None:
    assert set(codes()) - {"Default"} == {
        "CredentialsSignin",
        "OAuthSignin",
        "OAuthCallback",
        "Callback",
        "OAuthAccountNotLinked",
        "AccessDenied",
        "Configuration",
        "SessionRequired",
        "Cancelled",
        "TooManyAttempts",
        "EmailNotVerified",
        "EmailMissing",  # not the contract's: what a backend's 422 about the address means after a provider
        "BackendUnavailable",
        "ProviderUnavailable",
        "AttemptExpired",
        "FormExpired",
        "SessionExpired",
        "CookiesBlocked",
    }
