"""The cached login page equals one that is rendered for its visitor."""

import itertools
import re
from pathlib import Path

import pytest

from tests.support.login_page import EVERY_PROVIDER, LOGIN
from tests.support.site import Site, SiteMaker

ADDRESSES = [None, "/me", "/search?q=%EA%B0%80&x=<b>&callbackUrl=/other#top", "/munjigi0token0mark/munjigi0return0mark"]
AGENTS = ["Mozilla/5.0", "Mozilla/5.0 KAKAOTALK 10.4.5"]
ASKED = list(itertools.product(["en", "ko", "zh_Hant"], [None, "kakao", "nobody"], ADDRESSES, AGENTS))


@pytest.fixture
def sites(make_site: SiteMaker, tmp_path: Path) -> tuple[Site, Site]:
    """A site that caches the page, and one that renders it each time because it has a folder of custom templates."""
    given = {**EVERY_PROVIDER, "reset_password_url": "/forgot", "sign_up_url": "/join"}
    return make_site(**given), make_site(**given, templates_dir=tmp_path)


def shown(site: Site, language: str, last: str | None, address: str | None, agent: str) -> tuple[str, set[str]]:
    """Return the page without what differs for each visitor or site, and the CSRF tokens in it."""
    visitor = site.new_visitor(**{"Accept-Language": language, "User-Agent": agent})
    if last:
        visitor.cookies.set("munjigi.last-provider", last, domain="localhost.local", path="/")
    text = visitor.get(LOGIN, params={"callbackUrl": address} if address else {}).text
    tokens = set(re.findall(r'name="csrfToken" value="([^"]+)"', text))
    text = re.sub(r"\?v=[0-9a-f]+", "", text.replace(site.url, "SITE").replace(site.url.replace(":", "%3A"), "SITE"))
    for token in tokens:
        text = text.replace(token, "TOKEN")
    return re.sub(r"localhost(%3A|%253A|:)[0-9]+", "SITE", text), tokens


@pytest.mark.corpus
def test_the_cached_page_equals_the_rendered_page(sites: tuple[Site, Site]) -> None:
    keeping, rendering = sites
    for _ in range(2):  # the first answer is rendered, the second is cached
        for asked in ASKED:
            kept, rendered = shown(keeping, *asked), shown(rendering, *asked)
            assert kept[0] == rendered[0], asked
            assert len(kept[1]) == 1, "each visitor has one token"


def test_each_visitor_of_the_cached_page_gets_a_csrf_token_of_their_own(sites: tuple[Site, Site]) -> None:
    tokens = [shown(sites[0], *asked)[1].pop() for asked in ASKED]
    assert len(set(tokens)) == len(tokens)
    visitor = sites[0].new_visitor()
    assert visitor.sign_in().status_code == 303


def test_one_time_messages_are_not_cached(make_site: SiteMaker) -> None:
    site = make_site()
    assert site.new_visitor().get_page(f"{LOGIN}?error=FormExpired").message
    assert not site.new_visitor().get_page(LOGIN).message
    signed_out = site.new_visitor()
    signed_out.sign_in()
    assert signed_out.submit("/auth/logout", {}).status_code == 303
    assert signed_out.get_page(LOGIN).status_messages
    assert not site.new_visitor().get_page(LOGIN).status_messages
