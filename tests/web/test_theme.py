"""Text in any brand color is readable: WCAG 2.2, 1.4.3 and 1.4.11, computed independently."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.site import SiteMaker
from web import theme

SHEET = (Path(__file__).parents[2] / "static" / "site.css").read_text("utf-8")

any_colour = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        total = 0.0
        for at, weight in ((1, 0.2126), (3, 0.7152), (5, 0.0722)):
            share = int(color[at : at + 2], 16) / 255
            total += weight * (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
        return total

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def properties(css: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the colors of the light and the dark scheme."""
    light, _, dark = css.partition("prefers-color-scheme")
    both = [dict(re.findall(r"--([\w-]+): ?(#[0-9a-f]{6})", part)) for part in (light, dark.partition("}")[0])]
    return both[0], {**both[0], **both[1]}


def in_each_scheme(brand: str) -> list[dict[str, str]]:
    worked_out = properties(theme.rules(brand))
    return [given | found for given, found in zip(properties(SHEET), worked_out, strict=True)]


@given(any_colour)
@example("#ffffff")
@example("#000000")
@example("#777777")
@example("#fee500")
@example("#e0218a")
def test_any_brand_color_is_readable_in_light_and_in_dark(brand: str) -> None:
    for scheme in in_each_scheme(brand):
        assert scheme["brand"] == brand
        assert contrast(scheme["on-brand"], brand) >= 4.5
        for ground in ("surface", "background"):
            assert contrast(scheme["accent"], scheme[ground]) >= 4.5, ground
            assert contrast(scheme["brand-border"], scheme[ground]) >= 3, ground


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_fixed_colors_are_readable(scheme: int) -> None:
    given = properties(SHEET)[scheme]
    for text in ("text", "text-muted", "error"):
        for ground in ("surface", "background"):
            assert contrast(given[text], given[ground]) >= 4.5, (text, ground)
    assert contrast(given["error"], given["error-background"]) >= 4.5
    assert contrast(given["text"], given["error-background"]) >= 4.5
    assert contrast(given["text-muted"], given["error-background"]) >= 4.5
    assert contrast(given["border"], given["surface"]) >= 3


def test_the_theme_uses_the_backgrounds_of_the_style_sheet() -> None:
    grounds = [(scheme["surface"], scheme["background"]) for scheme in properties(SHEET)]
    assert grounds == [theme.LIGHT_BACKGROUNDS, theme.DARK_BACKGROUNDS]


def test_a_readable_brand_color_is_unchanged() -> None:
    light, dark = in_each_scheme("#17624a")
    assert light["accent"] == light["brand-border"] == "#17624a"
    assert dark["accent"] != "#17624a"


def test_the_served_style_sheet_contains_the_brand_colors(make_site: SiteMaker) -> None:
    visitor = make_site(brand_color="#E0218A").new_visitor()
    page = visitor.get_page("/auth/login/email")
    sheet = visitor.get(page.find_all("link[@rel='stylesheet']")[0].get("href")).text
    assert sheet.startswith(theme.rules("#e0218a"))
    assert sheet.endswith(SHEET)
