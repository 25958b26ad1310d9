"""The brand's colours, worked out so that they can be read whatever `BRAND_COLOR` is (WCAG 2.2, 1.4.3 and 1.4.11)."""

import colorsys

LIGHT = ("#ffffff", "#f4f3ef")
DARK = ("#181c1a", "#101312")
"""What lies under text and edges in each scheme, as `static/site.css` has it."""

_TEXT, _TEXT_IN_DARK, _EDGE = 4.5, 6.0, 3.0  # in dark, what is only just enough looks dull
_STEPS = 200


def rules(brand: str) -> str:
    """The custom properties that go before the style sheet: `--brand` is as given, the others follow from it.

    `--on-brand`: of the text on it. `--accent`: the brand where it has to be read itself, as a link, a mark or the
    ring of the focus. `--edge`: of the main button, which the page could swallow if it has the page's colour.
    """
    light = f"--brand:{brand};--on-brand:{text_on(brand)};{_of_scheme(brand, LIGHT, _TEXT)}"
    dark = _of_scheme(brand, DARK, _TEXT_IN_DARK)
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _of_scheme(brand: str, grounds: tuple[str, ...], text: float) -> str:
    return f"--accent:{readable(brand, grounds, text)};--edge:{readable(brand, grounds, _EDGE)}"


def text_on(color: str) -> str:
    """Black or white, whichever stands out more on `#rrggbb`: at least 4.58 to 1 on any."""
    return "#ffffff" if (_luminance(color) + 0.05) ** 2 < 1.05 * 0.05 else "#000000"


def readable(color: str, grounds: tuple[str, ...], least: float) -> str:
    """The colour, made darker or lighter only as far as it takes to stand out `least` to 1 from all of these."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_shares(color))
    end = 0.0 if text_on(grounds[0]) == "#000000" else 1.0
    for step in range(_STEPS):
        red, green, blue = colorsys.hls_to_rgb(hue, lightness + (end - lightness) * step / _STEPS, saturation)
        nearer = f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
        if all(contrast(nearer, ground) >= least for ground in grounds):
            return nearer
    return text_on(grounds[0])


def contrast(one: str, other: str) -> float:
    """Between two colours `#rrggbb`, 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    """Relative luminance, 0 to 1, as WCAG 2.2 defines it."""
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in _shares(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _shares(color: str) -> tuple[float, float, float]:
    return int(color[1:3], 16) / 255, int(color[3:5], 16) / 255, int(color[5:7], 16) / 255
