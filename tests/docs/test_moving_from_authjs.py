"""docs/moving-from-authjs.md: its `readSession` reads the site's session cookie in a server component."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.forge import COOKIE, encrypt, make_claims
from tests.support.markdown import MarkdownPage
from tests.support.node import CLEAN_ENVIRON, find_node
from tests.support.scripted import USER
from tests.support.site import SECRET

pytestmark = pytest.mark.external

PAGE = MarkdownPage(ROOT / "docs" / "moving-from-authjs.md")
IMPORT = 'import { cookies } from "next/headers";'
COOKIES = """
const cookies = async () => ({
  getAll: () => Object.entries(JSON.parse(process.argv[2])).map(([name, value]) => ({ name, value })),
});
"""
"""Stands for the function of Next.js, which works in Next.js only."""
CALL = "\nreadSession().then((session) => console.log(JSON.stringify(session)));\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    find_node("esbuild")
    (text,) = [block.text for block in PAGE.code_blocks if block.language == "ts"]
    assert IMPORT in text
    folder = tmp_path_factory.mktemp("authjs")
    (folder / "read-session.ts").write_text(text.replace(IMPORT, COOKIES) + CALL)
    modules = ROOT / "tests" / "node_modules"
    command = [
        str(modules / ".bin" / "esbuild"),
        "read-session.ts",
        "--bundle",
        "--platform=node",
        "--outfile=program.js",
    ]
    environ = {**CLEAN_ENVIRON, "NODE_PATH": str(modules)}
    subprocess.run(command, cwd=folder, env=environ, check=True, timeout=60, capture_output=True)
    return folder / "program.js"


def read_session(program: Path, cookies: dict[str, str]) -> object:
    environ = {**CLEAN_ENVIRON, "NEXTAUTH_URL": "http://localhost:3000", "NEXTAUTH_SECRET": SECRET}
    command = [find_node(), str(program), json.dumps(cookies)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_user_and_the_backends_token_are_read(program: Path) -> None:
    token = encrypt(make_claims(user=USER, accessToken="17|token"))
    assert read_session(program, {COOKIE: token}) == {"user": USER, "accessToken": "17|token"}


def test_a_session_in_several_cookies_is_read(program: Path) -> None:
    token = encrypt(make_claims(user=USER, accessToken="x" * 4000))
    parts = {f"{COOKIE}.{number}": token[number * 3900 :][:3900] for number in range(2)}
    assert read_session(program, parts) == {"user": USER, "accessToken": "x" * 4000}


@pytest.mark.parametrize(
    "cookies", [{}, {COOKIE: "eyJ.made.up"}, {"authjs.session-token": "eyJ"}], ids=["none", "made up", "Auth.js"]
)
def test_anything_else_is_no_session(program: Path, cookies: dict[str, str]) -> None:
    assert read_session(program, cookies) is None
