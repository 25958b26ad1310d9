"""The home page: shows the signed-in user, or a link to the sign-in page."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

bp = Blueprint("home", __name__)


@bp.get("/")
def show() -> ResponseReturnValue:
    return render_template("home.html")
