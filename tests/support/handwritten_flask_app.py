"""A Flask app with sign-in of its own: Flask-Login, a form, and Google through Authlib.

docs/moving-from-flask.md moves it to Munjigi. It is written as the documentation of these libraries shows it.
"""

from dataclasses import dataclass
from typing import Any

from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, render_template_string, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_wtf import CSRFProtect
from werkzeug.security import check_password_hash, generate_password_hash

PASSWORD = "correct-horse"
LOGIN_PAGE = """<!doctype html>
<title>Sign in</title>
<h1>Sign in</h1>
<form method="post"><input type="hidden" name="csrf_token" value="{{ csrf_token() }}">
<input name="email"><input name="password" type="password"><button>Sign in</button></form>
<a href="{{ url_for('google_start') }}">Google</a>
"""


@dataclass
class User(UserMixin):  # type: ignore[misc]
    id: int
    email: str
    name: str
    password_hash: str
    google_sub: str | None = None


class Users:
    """Stands for the app's database."""

    def __init__(self) -> None:
        names = {"minji@example.com": "김민지", "hong@example.com": "홍길동"}
        self._users = [
            User(number, email, name, generate_password_hash(PASSWORD, "pbkdf2:sha256:1000"))
            for number, (email, name) in enumerate(names.items(), start=1)
        ]
        self._users[0].google_sub = "1087"

    def find_user(self, user_id: int) -> User | None:
        return next((user for user in self._users if user.id == user_id), None)

    def find_user_by_email(self, email: str) -> User | None:
        return next((user for user in self._users if user.email == email), None)

    def find_user_by_google(self, sub: str) -> User | None:
        return next((user for user in self._users if user.google_sub == sub), None)


def create_app(users: Users) -> tuple[Flask, LoginManager, CSRFProtect]:
    app = Flask(__name__)
    app.secret_key = "the-secret-key-of-the-app"
    csrf = CSRFProtect(app)
    login_manager = LoginManager(app)
    login_manager.login_view = "login"
    _add_sign_in(app, users)
    _add_google(app, users)

    @login_manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(user_id: str) -> User | None:
        return users.find_user(int(user_id))

    @app.get("/")
    def home() -> ResponseReturnValue:
        return {"user": getattr(current_user, "name", None)}

    @app.get("/bookings")
    @login_required  # type: ignore[untyped-decorator]
    def bookings() -> ResponseReturnValue:
        return {"user": current_user.name}

    return app, login_manager, csrf


def _add_google(app: Flask, users: Users) -> None:
    google = OAuth(app).register(
        "google",
        client_id="google-client",
        client_secret="google-secret",
        server_metadata_url="https://accounts.google.com/.well-known/openid-configuration",
        client_kwargs={"scope": "openid email profile"},
    )

    @app.get("/google")
    def google_start() -> Any:
        return google.authorize_redirect(url_for("google_callback", _external=True))

    @app.get("/google/callback")
    def google_callback() -> ResponseReturnValue:
        claims = google.authorize_access_token()["userinfo"]
        user = users.find_user_by_google(claims["sub"])
        if user is None:
            return redirect(url_for("login"))
        login_user(user)
        return redirect(url_for("bookings"))


def _add_sign_in(app: Flask, users: Users) -> None:
    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        user = users.find_user_by_email(request.form.get("email", ""))
        if user and check_password_hash(user.password_hash, request.form.get("password", "")):
            login_user(user, remember=True)
            return redirect(url_for("bookings"))
        return render_template_string(LOGIN_PAGE)

    @app.get("/logout")
    def logout() -> ResponseReturnValue:
        logout_user()
        return redirect("/")
