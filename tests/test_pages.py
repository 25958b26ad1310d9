"""The pages as they come over the wire: what they weigh, and what a folder of one's own changes of them."""

import gzip
import re
from pathlib import Path

import pytest
import requests

from tests.site import Page, SiteMaker, Visitor

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "pages.md").read_text("utf-8")
LOGIN = "/auth/login/email"
MOST_BYTES = 20_000
"""Of the 40 kB that the sign-in page may have."""
SEVEN: dict[str, object] = {
    "providers": "kakao,naver,apple,google,github,line,oidc",
    **{f"{name}_client_id": "id" for name in ("kakao", "naver", "apple", "google", "github", "line", "oidc")},
    **{f"{name}_client_secret": "secret-of-this-test" for name in ("naver", "google", "github", "line", "oidc")},
    "apple_client_secret": "a.b.c",
    "oidc_issuer": "https://id.example.com",
}


def on_the_wire(response: requests.Response) -> int:
    head = sum(len(f"{name}: {value}\r\n") for name, value in response.raw.headers.items())
    return len("HTTP/1.1 200 OK\r\n\r\n") + head + int(response.headers["Content-Length"])


def assets(page: Page) -> list[str]:
    return [one.get("href") for one in page.all("link")] + [one.get("src") for one in page.all("script")]


def test_the_sign_in_page_with_every_button_and_all_that_it_loads_is_light(make_site: SiteMaker) -> None:
    visitor = make_site(**SEVEN, sign_up_url="/join", reset_password_url="/forgot").visitor()
    response = visitor.get(LOGIN)
    page = Page(response)
    assert len(page.all("ul[@class='provider-list']/li")) == 7
    assert len(page.all("link[@rel='stylesheet']")) == 1
    assert len(assets(page)) <= 4
    assert sum(map(on_the_wire, [response, *map(visitor.get, assets(page))])) <= MOST_BYTES


def test_nothing_holds_up_the_first_paint_but_the_style_sheet(visitor: Visitor) -> None:
    page = visitor.page(LOGIN)
    for script in page.all("script"):
        assert script.get("defer") is not None
    assert "@import" not in visitor.get(page.all("link[@rel='stylesheet']")[0].get("href")).text


@pytest.mark.parametrize("name", ["site.css", "form.js", "session.js", "mark.svg"])
def test_files_are_packed_for_whoever_takes_it_so(visitor: Visitor, name: str) -> None:
    address = f"/auth/static/{name}"
    with visitor.get(address, headers={"Accept-Encoding": "gzip, br"}, stream=True) as packed:
        content = packed.raw.read()
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = visitor.get(address, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(content) == plain.content
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


def test_a_file_that_is_not_there_is_not_found(visitor: Visitor) -> None:
    assert visitor.get("/auth/static/nothing.css").status_code == 404
    assert visitor.get("/auth/static/..%2fapp.py").status_code == 404


def test_each_visitor_gets_a_token_of_their_own_on_the_page(make_site: SiteMaker) -> None:
    site = make_site()
    for visitor in (site.visitor(), site.visitor()):
        on_the_page, given_out = visitor.page(LOGIN).value("csrfToken") or "", visitor.csrf()
        assert on_the_page.partition(".")[0] == given_out.partition(".")[0]  # behind it stands the time


def test_a_page_of_ones_own_goes_before_the_sites_and_can_build_on_it(make_site: SiteMaker, tmp_path: Path) -> None:
    (tmp_path / "login.html").write_text(
        '{% extends "site/login.html" %}'
        '{% block intro %}<p class="text-muted">Use your hotel account.</p>{% endblock %}'
    )
    page = make_site(templates_dir=tmp_path).visitor().page(LOGIN)
    assert page.texts("p[@class='text-muted']") == ["Use your hotel account."]
    assert page.heading == "Sign in"
    assert len(page.all("input[@type='password']")) == 1


def test_a_piece_of_ones_own_is_on_every_page(make_site: SiteMaker, tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text(
        '{% extends "site/base.html" %}{% block footer %}<p><a href="/privacy">Privacy</a></p>{% endblock %}'
    )
    visitor = make_site(templates_dir=tmp_path).visitor()
    for address in ("/", LOGIN, "/nowhere"):
        assert visitor.page(address).texts("footer/p") == ["Privacy"]


def test_rules_and_pictures_of_ones_own_come_with_the_sites(make_site: SiteMaker, tmp_path: Path) -> None:
    own = tmp_path / "static"
    own.mkdir()
    (own / "site.css").write_text(":root { --radius: 2px; }\n")
    (own / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    visitor = make_site(templates_dir=tmp_path, logo_url="/auth/static/logo.svg").visitor()
    page = visitor.page(LOGIN)
    (sheet,) = page.all("link[@rel='stylesheet']")
    response = visitor.get(sheet.get("href"))
    assert response.text.endswith("--radius: 2px; }\n")
    assert "immutable" in response.headers["Cache-Control"]
    logo = visitor.get(page.all("img")[0].get("src"))
    assert (logo.status_code, logo.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")


def test_the_examples_of_the_guide_do_what_it_says(make_site: SiteMaker, tmp_path: Path) -> None:
    files = re.findall(r"`([\w/]+\.(?:html|css))`:\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert [name for name, _ in files] == ["static/site.css", "login.html", "base.html"]
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    given = dict(
        re.findall(r"^(SITE_NAME|BRAND_COLOR|LOGO_URL|SIGN_UP_URL|RESET_PASSWORD_URL)=(.+)$", GUIDE, re.MULTILINE)
    )
    visitor = make_site(templates_dir=tmp_path, **{name.lower(): text for name, text in given.items()}).visitor()
    page = visitor.page(LOGIN)
    assert page.texts("p[@class='text-muted']") == ["Staff sign in with their company account."]
    assert page.texts("footer/p") == ["Privacy"]
    assert page.title == "Sign in – Hotel Haru"
    assert [link.get("href") for link in page.all("ul[@class='link-list']//a")] == [
        "https://example.com/password",
        "https://example.com/join",
    ]
    sheet = visitor.get(page.all("link[@rel='stylesheet']")[0].get("href")).text
    assert "--brand:#e0218a" in sheet
    assert sheet.endswith(dict(files)["static/site.css"])


def test_the_guide_names_every_block_and_every_piece_there_is() -> None:
    templates = {path.name: path.read_text("utf-8") for path in (ROOT / "templates").glob("*.html")}
    blocks = {name for text in templates.values() for name in re.findall(r"{% block (\w+) %}", text)}
    macros = set(re.findall(r"{% macro (\w+\(.*?\)) %}", templates["macros.html"]))
    assert {name for name in blocks if not re.search(rf"\| `{name}` \|", GUIDE)} == set()
    assert {re.sub(r"=[^,)]+", "", macro) for macro in macros} == set(
        re.findall(r"^\| `(\w+\(.*?\))` \|", GUIDE, re.MULTILINE)
    )
    assert {name for name in templates if name != "macros.html" and f"`{name}`" not in GUIDE} == set()
