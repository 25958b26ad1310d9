"""A backend that owns users, as Munjigi asks for one: the protocol of docs/your-backend.md on SQLite.

Tokens are kept as hashes, with an end, and are revoked one by one. A provider's token is believed only if the
provider says that it was given to an app of ours (`KAKAO_APPS`, `GOOGLE_APPS`, `GITHUB_APPS`).
"""

import hashlib
import os
import secrets
import sqlite3
import time
from typing import Any

import click
import requests
from flask import Flask, abort, g, jsonify, request
from flask.typing import ResponseReturnValue
from proofs import PROOFS, ForeignTokenError
from werkzeug.exceptions import HTTPException
from werkzeug.security import check_password_hash, generate_password_hash

TOKEN_SECONDS = 90 * 24 * 3600  # as long as Munjigi's longest session
NOBODY = generate_password_hash(secrets.token_hex())
SCHEMA = """
create table if not exists users (id integer primary key, email text unique, password text, name text, nick_name text);
create table if not exists tokens (hash text primary key, user_id integer not null, ends integer not null);
create table if not exists identities (
    provider text, subject text, user_id integer not null, primary key (provider, subject)
);
"""
ADDED = """
insert into users (email, password, name) values (?, ?, ?)
on conflict (email) do update set password = excluded.password, name = excluded.name
"""

app = Flask(__name__)


def db() -> sqlite3.Connection:
    """This request's connection; what it wrote is kept if nothing went wrong."""
    if "db" not in g:
        g.db = sqlite3.connect(os.environ.get("DATABASE", "users.sqlite"))
        g.db.row_factory = sqlite3.Row
        g.db.executescript(SCHEMA)
    connection: sqlite3.Connection = g.db
    return connection


@app.teardown_appcontext
def close(error: BaseException | None) -> None:
    if "db" in g:
        if error is None:
            g.db.commit()
        g.db.close()


@app.post("/login")
def login() -> ResponseReturnValue:
    email, password = text("email"), text("password")
    user = db().execute("select * from users where email = ?", [email.strip().lower()]).fetchone()
    # Who does not exist costs a hash too: neither words nor time tell them apart.
    fits = check_password_hash((user and user["password"]) or NOBODY, password)
    return issued(user["id"]) if user and fits else abort(401)


@app.post("/login/social/callback/<provider>")
def social_login(provider: str) -> ResponseReturnValue:
    if provider not in PROOFS:
        abort(404)
    try:
        person = PROOFS[provider](text("social_token"))
    except ForeignTokenError:
        abort(401)
    except requests.RequestException:
        abort(503)
    key = (provider, person.subject)
    known = db().execute("select user_id from identities where provider = ? and subject = ?", key).fetchone()
    return issued(known["user_id"] if known else joined(key, person.email, person.name))


def joined(key: tuple[str, str], email: str | None, name: str | None) -> int:
    """A new user. An address that somebody has already is no reason to let anybody in."""
    if email and db().execute("select 1 from users where email = ?", [email.lower()]).fetchone():
        abort(409)
    row = db().execute("insert into users (email, name) values (?, ?)", [email and email.lower(), name])
    db().execute("insert into identities values (?, ?, ?)", [*key, row.lastrowid])
    return int(row.lastrowid or 0)


@app.post("/user")
def user() -> ResponseReturnValue:
    return {"data": {"user": dict(signed_in())}}


@app.patch("/profile")
def profile() -> ResponseReturnValue:
    names = [text("name", None), text("nick_name", None)]
    db().execute("update users set name = ?, nick_name = ? where id = ?", [*names, signed_in()["id"]])
    return {"data": {"user": dict(signed_in())}}


@app.post("/logout")
def logout() -> ResponseReturnValue:
    signed_in()
    db().execute("delete from tokens where hash = ?", [bearer()])
    return "", 204


def issued(user_id: int) -> dict[str, Any]:
    token = secrets.token_urlsafe(32)
    db().execute("insert into tokens values (?, ?, ?)", [hashed(token), user_id, time.time() + TOKEN_SECONDS])
    return {"data": {"token": {"plainTextToken": token}}}


def signed_in() -> sqlite3.Row:
    """Whose token came with this request; 401 if it is nobody's, or is over."""
    whose = "select id, name, nick_name, email from users join tokens on user_id = id where hash = ? and ends > ?"
    found: sqlite3.Row | None = db().execute(whose, [bearer(), time.time()]).fetchone()
    return found or abort(401)


def bearer() -> str:
    return hashed(request.headers.get("Authorization", "").removeprefix("Bearer "))


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def text(name: str, default: str | None = "") -> Any:
    """A text of the request's JSON; 422 if it is something else."""
    body = request.get_json(silent=True)
    value = (body if isinstance(body, dict) else {}).get(name, default)
    return value if value == default or isinstance(value, str) else abort(422)


@app.errorhandler(HTTPException)
def as_json(error: HTTPException) -> ResponseReturnValue:
    return jsonify(message=error.name), error.code or 500


@app.cli.command("add-user")
@click.argument("email")
@click.argument("password")
@click.argument("name")
def add_user(email: str, password: str, name: str) -> None:
    """Somebody who can sign in. Who is there already gets this password and name."""
    password = generate_password_hash(password)
    db().execute(ADDED, [email.lower(), password, name])
    click.echo(f"{email} can sign in.")
