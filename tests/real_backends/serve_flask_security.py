"""Flask-Security-Too with authentication tokens, confirmed e-mail addresses and second factors.

It has no route for the user, so this site has `/me`, as its documentation suggests. Arguments of the command: port,
SQLite file.
"""

import sys
from typing import Any

from flask import Flask, request
from flask_babel import Babel
from flask_security import (
    MailUtil,
    Security,
    SQLAlchemySessionUserDatastore,
    auth_required,
    current_user,
    hash_password,
    naive_utcnow,
)
from flask_security.changeable import admin_change_password
from flask_security.models import sqla
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

PORT, DATABASE = sys.argv[1:]


class Base(DeclarativeBase):
    pass


sqla.FsModels.set_db_info(base_model=Base)


class Role(Base, sqla.FsRoleMixin):
    __tablename__ = "role"


class User(Base, sqla.FsUserMixin):
    __tablename__ = "user"


engine = create_engine(f"sqlite:///{DATABASE}")
session = scoped_session(sessionmaker(engine))
Base.metadata.create_all(engine)
app = Flask(__name__)
app.config |= {
    "SECRET_KEY": "of-the-tests-and-long-enough-for-any-algorithm",
    "WTF_CSRF_ENABLED": False,
    "SECURITY_PASSWORD_HASH": "plaintext",  # fast
    "SECURITY_PASSWORD_SALT": "of-the-tests",
    "SECURITY_CONFIRMABLE": True,
    "SECURITY_CHANGEABLE": True,
    "SECURITY_TWO_FACTOR": True,
    "SECURITY_TWO_FACTOR_ENABLED_METHODS": ["authenticator"],
    "SECURITY_TOTP_SECRETS": {"1": "of-the-tests-and-long-enough"},
    "SECURITY_TOTP_ISSUER": "test",
    "SECURITY_REGISTERABLE": True,
    "SECURITY_RECOVERABLE": True,
    "SECURITY_EMAIL_VALIDATOR_ARGS": {"check_deliverability": False},  # no DNS
}
Babel(app, locale_selector=lambda: request.accept_languages.best_match(["en", "ja", "ko"]))
users = SQLAlchemySessionUserDatastore(session, User, Role)
mails: list[tuple[str, str]] = []
"""Address and text of the mails that would have been sent."""


class Mails(MailUtil):
    def send_mail(self, template: str, subject: Any, recipient: str, *args: Any, **kwargs: Any) -> None:
        mails.append((recipient, args[1] if len(args) > 1 else kwargs["body"]))


Security(app, users, mail_util_cls=Mails)


@app.teardown_appcontext
def remove_session(_: BaseException | None) -> None:
    session.remove()


@app.get("/me")
@auth_required("token")
def me() -> dict[str, Any]:
    return {"id": current_user.id, "email": current_user.email, "name": current_user.username}


@app.get("/test/mails")
def list_mails() -> list[str]:
    return [text for address, text in mails if address == request.args["to"]]


@app.route("/test/account", methods=["POST", "PATCH", "DELETE"])
def change_account() -> dict[str, Any]:
    data, made = request.get_json(), {}
    if request.method == "POST":
        user = users.create_user(email=data["email"], username=data["name"], password=hash_password(data["password"]))
        user.confirmed_at = naive_utcnow() if data["is_verified"] else None
        if data["has_second_factor"]:
            factory = app.extensions["security"].totp_factory
            secret = factory.generate_totp_secret()
            users.tf_set(user, "authenticator", secret)
            made = {"secret": factory.get_totp_pretty_key(secret).replace("-", "").replace(" ", "")}
    else:
        user = users.find_user(email=data["email"])
        if request.method == "DELETE":
            users.delete_user(user)
        elif "password" in data:
            admin_change_password(user, data["password"], notify=False)
        else:
            user.username = data.get("name", user.username)
            user.email = data.get("new_email", user.email)
    users.commit()
    return made


if __name__ == "__main__":
    app.run("127.0.0.1", int(PORT))
