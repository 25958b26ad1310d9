"""docs/moving-from-nextauth.md: sessions of a site built after the NextAuth article stay valid."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ROOT, require_program
from tests.support.forge import COOKIE, OMITTED, cookie_pair, encrypt, make_claims
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.setting_names import BACKEND_SETTINGS, PROVIDER_SETTINGS, SETTINGS
from tests.support.site import Site, cookie_names, running_site

GUIDES = ("moving-from-nextauth", "operations")


def guide(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text("utf-8")


def test_every_setting_in_the_migration_guide_exists() -> None:
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)\b", guide("moving-from-nextauth")))
    theirs = {name for name in named if name.startswith(("NEXT", "AUTH_"))}
    assert len(named - theirs) > 20
    assert named - theirs <= {*SETTINGS, *BACKEND_SETTINGS, *PROVIDER_SETTINGS}


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.external
def test_nginx_accepts_the_guides_configuration(name: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"```nginx\n(.*?)```", guide(name), re.DOTALL)
    block = block.replace(
        "listen 443 ssl;", f"listen unix:{tmp_path}/socket;"
    )  # the guide's certificate does not exist here
    block = re.sub(r"\n +ssl_certificate.*", "", block)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{block}}}\n"
    )
    given = ("-t", "-q", "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf")
    tried = subprocess.run([require_program("nginx"), *given], capture_output=True, text=True, timeout=30, check=False)
    assert (tried.returncode, tried.stderr) == (0, "")


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        running.user = {**USER, "nick_name": None}
        yield running


@pytest.fixture
def site(backend: ScriptedBackend) -> Iterator[Site]:
    with running_site(backend_url=backend.url) as running:
        yield running


def read(site: Site, **given: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the session for these claims, and the names of the cookies that the answer sets or deletes."""
    response = site.new_visitor().get(
        "/api/auth/session", headers={"Cookie": cookie_pair(encrypt(make_claims(**given)))}
    )
    assert response.status_code == 200
    return response.json(), cookie_names(response)


IDENTIFIED = {"id": "hong@example.com", "email": "hong@example.com", "provider": "apple", "id_token": "eyJ.made.up"}
UNFINISHED = {
    "kakao": {"sub": "4012345679", "user": {"id": 4012345679, "kakao_account": {}, "provider": "kakao"}},
    "google": {"sub": "google", "user": {**USER, "id": "google", "provider": "google"}},
    "apple": {"sub": "hong@example.com", "user": {**IDENTIFIED, "refresh_token": "r.made.up"}},
}
"""Claims that the article's callbacks keep of a social sign-in without an answer of the backend."""


@pytest.mark.parametrize("token", UNFINISHED.values(), ids=UNFINISHED)
def test_a_token_without_a_backend_token_is_no_session_and_its_cookie_is_deleted(
    backend: ScriptedBackend, site: Site, token: dict[str, Any]
) -> None:
    assert read(site, **token, accessToken=OMITTED) == ({}, {COOKIE})
    assert backend.calls == []


@pytest.mark.parametrize(
    "token",
    [
        {"sub": "7", "user": {**USER, "accessToken": "1|mine"}},
        {"sub": "HONG@example.com", "user": USER},
        {"sub": "7", "user": {**USER, "phone": "010-0000-0000", "roles": ["guest"]}},
    ],
    ids=["a password", "Apple, exchanged", "a backend that says more"],
)
def test_a_token_with_a_backend_token_is_a_session_with_four_user_fields(site: Site, token: dict[str, Any]) -> None:
    session, cookies = read(site, **token, accessToken="1|mine")
    assert set(session) == {"user", "expires"}
    assert session["user"] == {**USER, "nick_name": None}
    assert cookies == set()


@pytest.mark.parametrize(
    "written", [{"id": 1}, {"id": 1, "email": "ceo@hotel.kr", "role": "admin"}], ids=["an id", "and more"]
)
def test_a_token_whose_user_id_was_changed_is_no_session(
    backend: ScriptedBackend, site: Site, written: dict[str, Any]
) -> None:
    """The article's `update` accepted any user from a page. The genuine token of this sign-in was checked before."""
    assert read(site, accessToken="1|mine", user=USER)[0]["user"]["id"] == USER["id"]
    assert read(site, accessToken="1|mine", user={**USER, **written}) == ({}, {COOKIE})
    assert backend.request_count("/user") == 2


def test_a_changed_address_in_a_token_is_replaced_by_the_backends(site: Site) -> None:
    for user in (USER, {**USER, "email": "ceo@hotel.kr"}):
        assert read(site, accessToken="1|mine", user=user)[0]["user"]["email"] == USER["email"]


@pytest.mark.parametrize("written", [{"id": 1}, {"email": "ceo@hotel.kr"}], ids=["an id", "an address"])
def test_a_token_of_ours_whose_user_was_changed_is_no_session(
    backend: ScriptedBackend, site: Site, written: dict[str, Any]
) -> None:
    """If NextAuth still runs beside the site with the same secret, its `update` keeps our claims."""
    now = int(time.time())
    made = make_claims(user=USER, accessToken="1|mine", sid="of-ours", auth_time=now, checked_at=now)
    assert read(site, **made)[0]["user"] == USER
    assert read(site, **{**made, "user": {**USER, **written}}) == ({}, {COOKIE})
    assert backend.request_count("/user") == 0


@pytest.mark.parametrize("filler", ["a", "가"])
def test_a_session_is_read_although_its_address_was_truncated(backend: ScriptedBackend, filler: str) -> None:
    backend.user["email"] = filler * 253 + "  cut between these"
    with running_site(backend_url=backend.url) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        assert visitor.get_session()["user"]["email"] == filler * 253
