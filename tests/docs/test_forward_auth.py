"""The code in docs/forward-auth.md that verifies assertions accepts those of the site, and refuses all others."""

import base64
import hmac
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage
from tests.support.node import HERE, find_node
from tests.support.signing_keys import private_pem, public_pem
from tests.support.site import MINJI, Site, running_site

PAGE = MarkdownPage(ROOT / "docs" / "forward-auth.md")
Verifier = Callable[[list[str]], list[dict[str, Any] | None]]
"""Returns the claims of each assertion; None for one that is refused."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site(assertion_private_key=private_pem(), user_claims="id_of_another=id") as running:
        yield running


def example(language: str, site: Site) -> str:
    (text,) = [block.text for block in PAGE.code_blocks if block.language == language]
    for shown, real in {
        "http://127.0.0.1:8000": site.url,
        "https://example.com": site.url,
        '"example.com"': f'"{urlsplit(site.url).netloc}"',
    }.items():
        assert shown in text
        text = text.replace(shown, real)
    return text


def python(text: str) -> Verifier:
    namespace: dict[str, Any] = {}
    exec(compile(text, "forward-auth.md", "exec"), namespace)

    def verify(assertion: str) -> dict[str, Any] | None:
        try:
            return dict(namespace["verify"](assertion))
        except (JoseError, ValueError):
            return None

    return lambda assertions: list(map(verify, assertions))


def node(text: str) -> Verifier:
    program = find_node("jose")
    call = (
        "const out = []; for (const one of JSON.parse(process.argv[1])) out.push(await verify(one).catch(() => null))"
    )
    script = f"{text}\n{call}\nconsole.log(JSON.stringify(out))"

    def verify(assertions: list[str]) -> list[dict[str, Any] | None]:
        command = [program, "--input-type=module", "-e", script, "--", json.dumps(assertions)]
        done = subprocess.run(command, cwd=Path(HERE).parent, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any] | None] = json.loads(done.stdout)
        return answers

    return verify


def forged(site: Site, changes: dict[str, Any], key: Any = None, **header: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": site.url,
        "aud": urlsplit(site.url).netloc,
        "sub": "1",
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not ...}
    own = ECKey.import_key(private_pem())
    header = {"alg": "ES256", "kid": own.thumbprint(), **header}
    return jwt.encode(header, claims, key or own, algorithms=[header["alg"]])


def unsigned(text: str) -> str:
    body = text.split(".")[1]
    return f"eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{body}."


def signed_with_public_key(text: str) -> str:
    """HMAC with a secret that everybody knows (RFC 8725, 2.1)."""
    signed = f"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.{text.split('.')[1]}"
    digest = hmac.digest(public_pem().encode(), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("language", "make"), [("python", python), pytest.param("js", node, marks=pytest.mark.external)]
)
def test_the_example_accepts_the_assertion_of_the_site_and_refuses_all_others(
    site: Site, language: str, make: Callable[[str], Verifier]
) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    valid = visitor.get("/auth/verify").headers["X-Auth-Assertion"]
    for_another = visitor.get("/auth/verify", headers={"X-Forwarded-Host": "other.example.com"})
    own, now = ECKey.import_key(private_pem()), int(time.time())
    invalid = {
        "another host": for_another.headers["X-Auth-Assertion"],
        "no host": forged(site, {"aud": ...}),
        "another issuer": forged(site, {"iss": "https://evil.example"}),
        "expired": forged(site, {"iat": now - 600, "exp": now - 540}),
        "no end": forged(site, {"exp": ...}),
        "another key": forged(site, {}, ECKey.import_key(private_pem("of somebody else"))),
        "another key with its own id": forged(
            site, {}, ECKey.import_key(private_pem("x")), kid=ECKey.import_key(private_pem("x")).thumbprint()
        ),
        "the public key as a secret": signed_with_public_key(valid),
        "no signature": unsigned(valid),
        "a signature cut off": valid[:-8],
        "other claims": ".".join([valid.split(".")[0], forged(site, {"sub": "2"}).split(".")[1], valid.split(".")[2]]),
        "empty": "",
        "no token": "a.b.c",
    }
    verify = make(example(language, site))
    first, control, *others = verify([valid, forged(site, {}), *invalid.values()])
    assert own.thumbprint()
    assert first is not None
    assert (first["sub"], first["email"], first["id_of_another"]) == ("1", MINJI, 1)
    assert control is not None, "the forged ones are refused for what they change"
    assert dict(zip(invalid, others, strict=True)) == dict.fromkeys(invalid)
