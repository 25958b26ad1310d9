"""A backend for Munjigi: the protocol of docs/backend.openapi.yaml, with users in SQLite.

Tokens expire, are stored as hashes and can be revoked one by one. A provider's token is accepted only if the provider
confirms that it was issued to one of our apps (`KAKAO_APPS`, `GOOGLE_APPS`, `GITHUB_APPS`).
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
DUMMY_HASH = generate_password_hash(secrets.token_hex())
SCHEMA = """
create table if not exists users (id integer primary key, email text unique, password text, name text, nick_name text);
create table if not exists tokens (hash text primary key, user_id integer not null, ends integer not null);
create table if not exists identities (
    provider text, subject text, user_id integer not null, primary key (provider, subject)
);
"""
UPSERT_USER = """
insert into users (email, password, name) values (?, ?, ?)
on conflict (email) do update set password = excluded.password, name = excluded.name
"""

app = Flask(__name__)


def db() -> sqlite3.Connection:
    """Return the connection of this request. `close` commits it unless the request failed."""
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
    # Hash for unknown addresses too, so that neither message nor response time reveals which addresses exist.
    is_correct = check_password_hash((user and user["password"]) or DUMMY_HASH, password)
    return issue_token(user["id"]) if user and is_correct else abort(401)


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
    identity = db().execute("select user_id from identities where provider = ? and subject = ?", key).fetchone()
    return issue_token(
        identity["user_id"] if identity else create_user(key, person.email, person.name or text("unsigned_name", None))
    )


def create_user(key: tuple[str, str], email: str | None, name: str | None) -> int:
    """Create a user for (provider, subject). 409 if the email address is taken: it does not prove the identity."""
    if email and db().execute("select 1 from users where email = ?", [email.lower()]).fetchone():
        abort(409)
    row = db().execute("insert into users (email, name) values (?, ?)", [email and email.lower(), name])
    db().execute("insert into identities values (?, ?, ?)", [*key, row.lastrowid])
    return int(row.lastrowid or 0)


@app.post("/user")
def user() -> ResponseReturnValue:
    return {"data": {"user": dict(current_user())}}


@app.patch("/profile")
def profile() -> ResponseReturnValue:
    names = [text("name", None), text("nick_name", None)]
    db().execute("update users set name = ?, nick_name = ? where id = ?", [*names, current_user()["id"]])
    return {"data": {"user": dict(current_user())}}


@app.post("/logout")
def logout() -> ResponseReturnValue:
    current_user()
    db().execute("delete from tokens where hash = ?", [bearer_hash()])
    return "", 204


def issue_token(user_id: int) -> dict[str, Any]:
    """Store a new token for the user. Return the response body."""
    token = secrets.token_urlsafe(32)
    db().execute("insert into tokens values (?, ?, ?)", [hash_token(token), user_id, time.time() + TOKEN_SECONDS])
    return {"data": {"token": {"plainTextToken": token}}}


def current_user() -> sqlite3.Row:
    """Return the user of the request's bearer token; 401 if the token is unknown or expired."""
    query = "select id, name, nick_name, email from users join tokens on user_id = id where hash = ? and ends > ?"
    row: sqlite3.Row | None = db().execute(query, [bearer_hash(), time.time()]).fetchone()
    return row or abort(401)


def bearer_hash() -> str:
    return hash_token(request.headers.get("Authorization", "").removeprefix("Bearer "))


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def text(name: str, default: str | None = "") -> Any:
    """Return a string of the JSON body; 422 if the value has another type."""
    body = request.get_json(silent=True)
    value = (body if isinstance(body, dict) else {}).get(name, default)
    return value if value == default or isinstance(value, str) else abort(422)


def end_sessions(user_id: int) -> None:
    """Sign the user out everywhere: delete their tokens, and tell Munjigi, if it is set."""
    db().execute("delete from tokens where user_id = ?", [user_id])
    if site_url := os.environ.get("MUNJIGI_URL"):
        headers = {"Authorization": f"Bearer {os.environ['MUNJIGI_EVENTS_TOKEN']}"}
        url = f"{site_url}/api/auth/sessions/revoke"
        requests.post(url, json={"user_id": user_id}, headers=headers, timeout=5).raise_for_status()


@app.errorhandler(HTTPException)
def as_json(error: HTTPException) -> ResponseReturnValue:
    return jsonify(message=error.name), error.code or 500


@app.cli.command("add-user")
@click.argument("email")
@click.argument("password")
@click.argument("name")
def add_user(email: str, password: str, name: str) -> None:
    """Create a user, or set the password and the name of an existing one."""
    password = generate_password_hash(password)
    db().execute(UPSERT_USER, [email.lower(), password, name])
    end_sessions(db().execute("select id from users where email = ?", [email.lower()]).fetchone()["id"])
    click.echo(f"{email} can sign in.")
