"""The static files, read and packed once. Their versions are in their addresses, so that browsers keep them for ever.

The style sheet has the colours of brand and providers in front: under a CSP without inline styles they cannot stand
in the page.
"""

import gzip
import mimetypes
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, current_app, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin

from config import Settings
from web import provider_buttons, theme

bp = Blueprint("static_files", __name__)

_STYLE_SHEET = "site.css"
_PACKED_KINDS = ("text/", "application/javascript", "image/svg+xml")


@dataclass(frozen=True)
class _File:
    kind: str
    content: bytes

    @cached_property
    def version(self) -> str:
        return sha256(self.content).hexdigest()[:12]

    @cached_property
    def packed(self) -> bytes | None:
        """Shorter, for whoever takes gzip; None where packing gains nothing."""
        packed = gzip.compress(self.content, mtime=0) if self.kind.startswith(_PACKED_KINDS) else self.content
        return packed if len(packed) < len(self.content) else None


@bp.get("/auth/static/<name>")
def file(name: str) -> Response:
    found: _File = current_app.extensions["munjigi.assets"].get(name) or abort(404)
    if found.packed is None:
        return Response(found.content, mimetype=found.kind)
    if request.accept_encodings["gzip"] > 0:
        response = Response(found.packed, mimetype=found.kind, headers={"Content-Encoding": "gzip"})
    else:
        response = Response(found.content, mimetype=found.kind)
    response.vary.add("Accept-Encoding")
    return response


class SessionInterface(SecureCookieSessionInterface):
    """Flask's session, except for these files: they are the same for everybody, and caches keep them.

    Flask-Login looks into the session at the end of each request, and Flask then adds `Vary: Cookie`.
    """

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not response.cache_control.public:
            super().save_session(app, session, response)


def init_app(app: Flask, settings: Settings) -> None:
    """Read the files of `static/`, and those of the folder of that name in `TEMPLATES_DIR` beside them."""
    contents = _contents(Path(app.root_path) / "static")
    own = _contents(settings.templates_dir / "static") if settings.templates_dir else {}
    rules = (theme.rules(settings.brand_color) + provider_buttons.style_rules(settings.registrations)).encode()
    sheet = b"".join((rules, contents.pop(_STYLE_SHEET), own.pop(_STYLE_SHEET, b"")))
    contents = {**contents, **own, _STYLE_SHEET: sheet}
    files = {name: _File(_kind(name), content) for name, content in contents.items()}
    app.extensions["munjigi.assets"] = files

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, str]) -> None:
        if endpoint == "static_files.file" and values.get("name") in files:
            values.setdefault("v", files[values["name"]].version)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def _kind(name: str) -> str:
    # Of Python's own table: the machine may have another, or none.
    return mimetypes.MimeTypes().guess_type(name)[0] or "application/octet-stream"
