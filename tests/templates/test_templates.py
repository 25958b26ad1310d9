"""The size of the pages, and how a folder of custom templates changes them."""

import gzip
import re
from pathlib import Path

import pytest
import requests

from tests.support.login_page import EVERY_PROVIDER, LOGIN
from tests.support.site import Page, SiteMaker, Visitor

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "pages.md").read_text("utf-8")
MOST_BYTES = 20_000
"""Of the 40 kB that the login page may weigh."""


def on_the_wire(response: requests.Response) -> int:
    head = sum(len(f"{name}: {value}\r\n") for name, value in response.raw.headers.items())
    return len("HTTP/1.1 200 OK\r\n\r\n") + head + int(response.headers["Content-Length"])


def assets(page: Page) -> list[str]:
    return [one.get("href") for one in page.find_all("link")] + [one.get("src") for one in page.find_all("script")]


def test_the_login_page_with_seven_buttons_is_small(make_site: SiteMaker) -> None:
    seven = {**EVERY_PROVIDER, "providers": "kakao,naver,apple,google,github,line,oidc"}
    visitor = make_site(**seven, sign_up_url="/join", reset_password_url="/forgot").new_visitor()
    response = visitor.get(LOGIN)
    page = Page(response)
    assert len(page.find_all("ul[@class='provider-list']/li")) == 7
    assert len(page.find_all("link[@rel='stylesheet']")) == 1
    assert len(assets(page)) <= 4
    assert sum(map(on_the_wire, [response, *map(visitor.get, assets(page))])) <= MOST_BYTES


def test_only_the_style_sheet_blocks_the_first_paint(visitor: Visitor) -> None:
    page = visitor.get_page(LOGIN)
    for script in page.find_all("script"):
        assert script.get("defer") is not None
    assert "@import" not in visitor.get(page.find_all("link[@rel='stylesheet']")[0].get("href")).text


@pytest.mark.parametrize("name", ["site.css", "form.js", "session.js", "mark.svg"])
def test_static_files_are_compressed_on_request(visitor: Visitor, name: str) -> None:
    address = f"/auth/static/{name}"
    with visitor.get(address, headers={"Accept-Encoding": "gzip, br"}, stream=True) as packed:
        content = packed.raw.read()
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = visitor.get(address, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(content) == plain.content
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("script", sorted((ROOT / "static").glob("*.js")), ids=lambda path: path.name)
def test_no_script_of_the_site_builds_html_or_listens_to_messages(script: Path) -> None:
    """Text becomes text, other windows are not heard, nothing is global, and `script-src 'self'` suffices."""
    source = script.read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source)
    assert not re.search(r"postMessage|\"message\"|window\.\w+ =[^=]|document\.\w+ =[^=]", source)
    code = [line for line in source.splitlines() if not line.startswith("//")]
    assert (code[0], code[-1]) == ("(() => {", "})();")


def test_a_missing_static_file_is_404(visitor: Visitor) -> None:
    assert visitor.get("/auth/static/nothing.css").status_code == 404
    assert visitor.get("/auth/static/..%2fapp.py").status_code == 404


def test_each_visitor_gets_a_csrf_token_of_their_own(make_site: SiteMaker) -> None:
    site = make_site()
    for visitor in (site.new_visitor(), site.new_visitor()):
        on_the_page, given_out = visitor.get_page(LOGIN).input_value("csrfToken") or "", visitor.csrf_token()
        assert on_the_page.partition(".")[0] == given_out.partition(".")[0]  # the second part is the time


def test_a_custom_template_can_extend_the_original(make_site: SiteMaker, tmp_path: Path) -> None:
    (tmp_path / "login.html").write_text(
        '{% extends "site/login.html" %}'
        '{% block intro %}<p class="text-muted">Use your hotel account.</p>{% endblock %}'
    )
    page = make_site(templates_dir=tmp_path).new_visitor().get_page(LOGIN)
    assert page.texts("p[@class='text-muted']") == ["Use your hotel account."]
    assert page.heading == "Sign in"
    assert len(page.find_all("input[@type='password']")) == 1


def test_a_custom_base_block_is_on_every_page(make_site: SiteMaker, tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text(
        '{% extends "site/base.html" %}{% block footer %}<p><a href="/privacy">Privacy</a></p>{% endblock %}'
    )
    visitor = make_site(templates_dir=tmp_path).new_visitor()
    for address in ("/", LOGIN, "/nowhere"):
        assert visitor.get_page(address).texts("footer/p") == ["Privacy"]


def test_custom_css_and_images_are_served_with_the_originals(make_site: SiteMaker, tmp_path: Path) -> None:
    own = tmp_path / "static"
    own.mkdir()
    (own / "site.css").write_text(":root { --radius: 2px; }\n")
    (own / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    visitor = make_site(templates_dir=tmp_path, logo_url="/auth/static/logo.svg").new_visitor()
    page = visitor.get_page(LOGIN)
    (sheet,) = page.find_all("link[@rel='stylesheet']")
    response = visitor.get(sheet.get("href"))
    assert response.text.endswith("--radius: 2px; }\n")
    assert "immutable" in response.headers["Cache-Control"]
    logo = visitor.get(page.find_all("img")[0].get("src"))
    assert (logo.status_code, logo.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")


def test_the_examples_of_the_guide_work(make_site: SiteMaker, tmp_path: Path) -> None:
    files = re.findall(r"`([\w/]+\.(?:html|css))`:\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert [name for name, _ in files] == ["static/site.css", "login.html", "base.html"]
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    given = dict(
        re.findall(r"^(SITE_NAME|BRAND_COLOR|LOGO_URL|SIGN_UP_URL|RESET_PASSWORD_URL)=(.+)$", GUIDE, re.MULTILINE)
    )
    visitor = make_site(templates_dir=tmp_path, **{name.lower(): text for name, text in given.items()}).new_visitor()
    page = visitor.get_page(LOGIN)
    assert page.texts("p[@class='text-muted']") == ["Staff sign in with their company account."]
    assert page.texts("footer/p") == ["Privacy"]
    assert page.title == "Sign in – Hotel Haru"
    assert [link.get("href") for link in page.find_all("ul[@class='link-list']//a")] == [
        "https://example.com/password",
        "https://example.com/join",
    ]
    sheet = visitor.get(page.find_all("link[@rel='stylesheet']")[0].get("href")).text
    assert "--brand:#e0218a" in sheet
    assert sheet.endswith(dict(files)["static/site.css"])


def test_the_guide_documents_every_block_and_macro() -> None:
    templates = {path.name: path.read_text("utf-8") for path in (ROOT / "templates").glob("*.html")}
    blocks = {name for text in templates.values() for name in re.findall(r"{% block (\w+) %}", text)}
    macros = set(re.findall(r"{% macro ([a-z]\w*\(.*?\)) %}", templates["macros.html"]))
    assert {name for name in blocks if not re.search(rf"\| `{name}` \|", GUIDE)} == set()
    assert {re.sub(r"=[^,)]+", "", macro) for macro in macros} == set(
        re.findall(r"^\| `(\w+\(.*?\))` \|", GUIDE, re.MULTILINE)
    )
    assert {name for name in templates if name != "macros.html" and f"`{name}`" not in GUIDE} == set()
