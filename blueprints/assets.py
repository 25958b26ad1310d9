"""The style sheet, with the colours of brand and providers in front, and the versions of static files.

Under a CSP without inline styles they cannot stand in the page.
"""

from hashlib import sha256
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app

from blueprints import social
from config import Settings

bp = Blueprint("assets", __name__)

_STYLE_SHEET = "site.css"


@bp.get(f"/auth/static/{_STYLE_SHEET}")
def style_sheet() -> Response:
    return Response(current_app.extensions["munjigi.style_sheet"], mimetype="text/css")


def init_app(app: Flask, settings: Settings) -> None:
    """Read the static files once: their versions are in their addresses, so that browsers keep them for ever."""
    folder = Path(app.static_folder or "")
    sheet = (
        _brand(settings.brand_color) + social.style_rules(settings.clients) + (folder / _STYLE_SHEET).read_text("utf-8")
    )
    app.extensions["munjigi.style_sheet"] = sheet
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    versions = {name: _version(content) for name, content in contents.items()}
    versions[_STYLE_SHEET] = _version(sheet.encode())

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, str]) -> None:
        if endpoint == "assets.style_sheet":
            values.setdefault("v", versions[_STYLE_SHEET])
        elif endpoint == "static" and values.get("filename") in versions:
            values.setdefault("v", versions[values["filename"]])


def _version(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


def _brand(color: str) -> str:
    return f":root{{--brand:{color};--on-brand:{text_on(color)}}}\n"


def text_on(color: str) -> str:
    """Black or white, whichever stands out more on `#rrggbb`: at least 4.58 to 1 on any (WCAG 2.2, 1.4.3)."""
    return "#ffffff" if (_luminance(color) + 0.05) ** 2 < 1.05 * 0.05 else "#000000"


def _luminance(color: str) -> float:
    """Relative luminance, 0 to 1, as WCAG 2.2 defines it."""
    shares = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
