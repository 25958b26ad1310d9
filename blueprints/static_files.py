"""Static files. They are read at the start, compressed at their first request, and have a version in their URL.

The style sheet begins with the colors of the brand and the providers, because the CSP forbids inline styles.
"""

import gzip
import mimetypes
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, current_app, request

from config import Settings
from web import provider_buttons, theme

bp = Blueprint("static_files", __name__)

_STYLE_SHEET = "site.css"
_COMPRESSIBLE_TYPES = ("text/", "application/javascript", "image/svg+xml")


@dataclass(frozen=True)
class _File:
    mimetype: str
    content: bytes

    @cached_property
    def version(self) -> str:
        return sha256(self.content).hexdigest()[:12]

    @cached_property
    def gzipped(self) -> bytes | None:
        """The gzipped content; None if it is not smaller."""
        if not self.mimetype.startswith(_COMPRESSIBLE_TYPES):
            return None
        gzipped = gzip.compress(self.content, mtime=0)
        return gzipped if len(gzipped) < len(self.content) else None


@bp.get("/auth/static/<name>")
def file(name: str) -> Response:
    static_file: _File = current_app.extensions["munjigi.static_files"].get(name) or abort(404)
    if static_file.gzipped is None:
        return Response(static_file.content, mimetype=static_file.mimetype)
    if request.accept_encodings["gzip"] > 0:
        headers = {"Content-Encoding": "gzip"}
        response = Response(static_file.gzipped, mimetype=static_file.mimetype, headers=headers)
    else:
        response = Response(static_file.content, mimetype=static_file.mimetype)
    response.vary.add("Accept-Encoding")
    return response


def init_app(app: Flask, settings: Settings) -> None:
    """Read the files of `static/`, then those of `static/` in `TEMPLATES_DIR`, which override files of the same name.

    The style sheet of `TEMPLATES_DIR` is appended to the site's.
    """
    contents = _read_folder(Path(app.root_path) / "static")
    custom = _read_folder(settings.templates_dir / "static") if settings.templates_dir else {}
    rules = (theme.rules(settings.brand_color) + provider_buttons.style_rules(settings.registrations)).encode()
    style_sheet = b"".join((rules, contents.pop(_STYLE_SHEET), custom.pop(_STYLE_SHEET, b"")))
    contents = {**contents, **custom, _STYLE_SHEET: style_sheet}
    files = {name: _File(_guess_mimetype(name), content) for name, content in contents.items()}
    app.extensions["munjigi.static_files"] = files

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, str]) -> None:
        if endpoint == "static_files.file" and values.get("name") in files:
            values.setdefault("v", files[values["name"]].version)


def _read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def _guess_mimetype(name: str) -> str:
    # Use Python's own table: the table of the operating system differs between machines.
    return mimetypes.MimeTypes().guess_type(name)[0] or "application/octet-stream"
