"""CSS colors derived from `BRAND_COLOR`, with enough contrast for any brand (WCAG 2.2, criteria 1.4.3 and 1.4.11)."""

import colorsys

LIGHT_BACKGROUNDS = ("#ffffff", "#f4f3ef")
DARK_BACKGROUNDS = ("#181c1a", "#101312")
"""`--surface` and `--background` of each color scheme in `static/site.css`."""

_MIN_TEXT_CONTRAST, _MIN_BORDER_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
_MIN_DARK_TEXT_CONTRAST = 6.0  # WCAG asks for 4.5, which looks dull on a dark background
_STEPS = 200


def rules(brand_color: str) -> str:
    """The custom properties that precede the style sheet. `brand_color`: `#rrggbb`.

    `--brand`: `brand_color`, unchanged. `--on-brand`: text on the brand color. `--accent`: the brand color adjusted for
    links, the logo mark and the focus ring. `--brand-border`: the border of the primary button, which must also be
    visible if the brand color equals the background.
    """
    light = _scheme_properties(brand_color, LIGHT_BACKGROUNDS, _MIN_TEXT_CONTRAST)
    dark = _scheme_properties(brand_color, DARK_BACKGROUNDS, _MIN_DARK_TEXT_CONTRAST)
    brand = f"--brand:{brand_color};--on-brand:{text_color_on(brand_color)}"
    return f":root{{{brand};{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _scheme_properties(brand_color: str, backgrounds: tuple[str, ...], min_text_contrast: float) -> str:
    accent = readable_color(brand_color, backgrounds, min_text_contrast)
    border = readable_color(brand_color, backgrounds, _MIN_BORDER_CONTRAST)
    return f"--accent:{accent};--brand-border:{border}"


def text_color_on(color: str) -> str:
    """Black or white, whichever has more contrast with `color` (`#rrggbb`). The contrast is at least 4.58 to 1."""
    return "#ffffff" if (_luminance(color) + 0.05) ** 2 < 1.05 * 0.05 else "#000000"


def readable_color(color: str, backgrounds: tuple[str, ...], min_contrast: float) -> str:
    """`color`, darkened or lightened in small steps until its contrast with all backgrounds is `min_contrast`."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_rgb(color))
    target_lightness = 0.0 if text_color_on(backgrounds[0]) == "#000000" else 1.0
    for step in range(_STEPS):
        step_lightness = lightness + (target_lightness - lightness) * step / _STEPS
        red, green, blue = colorsys.hls_to_rgb(hue, step_lightness, saturation)
        candidate = f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
        if all(contrast(candidate, background) >= min_contrast for background in backgrounds):
            return candidate
    return text_color_on(backgrounds[0])


def contrast(color: str, other_color: str) -> float:
    """The contrast ratio of two colors `#rrggbb`, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((_luminance(color), _luminance(other_color)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    """The relative luminance, from 0 to 1 (WCAG 2.2, "relative luminance")."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(color: str) -> tuple[float, float, float]:
    return int(color[1:3], 16) / 255, int(color[3:5], 16) / 255, int(color[5:7], 16) / 255
