"""The pseudo-language of development: what it does to a text, and which sites have it. The style sheet has no sides."""

import re
from pathlib import Path

import pytest

import dev
from dev.pseudo_language import CODE, pseudo_localize
from tests.support.login_page import LOGIN
from tests.support.site import SECRET, SiteMaker

STATIC = Path(__file__).parents[2] / "static"


@pytest.mark.parametrize(
    "text",
    ["Sign in", "%(label)s (optional)", "Try again in %(wait)s.", "Enter one of the recovery codes that you saved."],
)
def test_a_text_is_bracketed_accented_and_longer_and_keeps_its_placeholders(text: str) -> None:
    seen = re.sub("[\u200f\u202e\u202c]", "", pseudo_localize(text))
    placeholders = re.findall(r"%\(\w+\)s", text)
    assert (seen[0], seen[-1]) == ("[", "]")
    assert re.findall(r"%\(\w+\)s", seen) == placeholders
    assert not re.search("[A-Za-z]", re.sub(r"%\(\w+\)s", "", seen))
    assert len(seen) >= len(text) + 0.3 * (len(text) - sum(map(len, placeholders)))


@pytest.mark.usefixtures("restore_logging")
@pytest.mark.parametrize(
    ("environ", "html"),
    [
        ({"PSEUDO_LANGUAGE": "true"}, '<html lang="ar-001" dir="rtl">'),
        ({"PSEUDO_LANGUAGE": "false"}, '<html lang="en" dir="ltr">'),
        ({}, '<html lang="en" dir="ltr">'),
    ],
)
def test_a_development_site_with_the_setting_has_the_pseudo_language(environ: dict[str, str], html: str) -> None:
    site = dev.create_site({"SECRET_KEY": SECRET, **environ}, 8080)
    headers = {"Host": "localhost:8080", "Accept-Language": "en"}
    try:
        assert html in site.test_client().get(f"{LOGIN}?lang=ar-001", headers=headers).text
    finally:
        site.extensions["munjigi"].close()


def test_no_other_site_has_the_pseudo_language(make_site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSEUDO_LANGUAGE", "true")
    page = make_site().new_visitor(**{"Accept-Language": "en"}).get_page(f"{LOGIN}?lang={CODE}")
    assert (page.document.get("lang"), page.document.get("dir")) == ("en", "ltr")


PHYSICAL = re.compile(
    r"^\s*((margin|padding|border|scroll-margin|scroll-padding)-(left|right)|border-(top|bottom)-(left|right)-radius"
    r"|left|right|(text-align|float|clear|object-position|background-position):\s*(left|right))\b",
    re.MULTILINE,
)


def test_the_style_sheet_names_a_side_only_for_a_direction() -> None:
    """`margin-inline-start`, not `margin-left`. A property without such a name has a second rule, for `[dir="rtl"]`."""
    style_sheets = list(STATIC.glob("*.css"))
    assert style_sheets
    for path in style_sheets:
        rules = re.findall(r"([^{}]+)\{([^{}]*)\}", path.read_text("utf-8"))
        sides = {selector.strip().split("*/")[-1].strip(): body for selector, body in rules if PHYSICAL.search(body)}
        unpaired = {
            selector
            for selector in sides
            if not selector.startswith("[dir=") and f'[dir="rtl"] {selector}' not in sides
        }
        assert unpaired == set()


@pytest.mark.parametrize(
    "rule", ["margin-left: 1px;", "  left: 0;", "text-align: right;", "border-top-left-radius: 2px;"]
)
def test_the_check_of_the_style_sheet_finds_a_side(rule: str) -> None:
    assert PHYSICAL.search(rule)
