"""In-app browsers, by their `User-Agent`, and the link that opens another browser."""

import pytest

from tests.support.login_page import ANDROID_WEB_VIEW
from tests.support.site import SiteMaker
from web import in_app_browsers
from web.in_app_browsers import InAppNotice

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90"
PAGE = "https://example.com/auth/login/email"
QUERY = f"{PAGE}?callbackUrl=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d"

KAKAO_OUT = "kakaotalk://web/openExternal?url=https%3A%2F%2Fexample.com%2Fauth%2Flogin%2Femail"


def notice(user_agent: str, url: str, language: str) -> InAppNotice | None:
    app = in_app_browsers.detect(user_agent)
    return in_app_browsers.notice(app, url, language) if app else None


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (f"{ANDROID_WEB_VIEW};KAKAOTALK 2410880", InAppNotice("KakaoTalk", KAKAO_OUT)),
        (f"{IPHONE} KAKAOTALK/10.8.0 (INAPP)", InAppNotice("KakaoTalk", KAKAO_OUT)),
        (f"{ANDROID_WEB_VIEW} Line/14.9.0/IAB", InAppNotice("LINE", f"{PAGE}?openExternalBrowser=1")),
        (f"{IPHONE} Safari Line/14.9.0", InAppNotice("LINE", f"{PAGE}?openExternalBrowser=1")),
        (f"{IPHONE} Instagram 334.0.4.32.98 (iPhone15,2; iOS 17_5; ko_KR)", InAppNotice("Instagram", None)),
        (f"{ANDROID_WEB_VIEW} Instagram 334.0.0.42.95 Android (34/14; 480dpi)", InAppNotice("Instagram", None)),
        (f"{IPHONE} [FBAN/FBIOS;FBAV/468.0.0.35.103;FBBV/612345678]", InAppNotice("Facebook", None)),
        (f"{ANDROID_WEB_VIEW} [FB_IAB/FB4A;FBAV/468.0.0.55.85;]", InAppNotice("Facebook", None)),
        (f"{ANDROID_WEB_VIEW} NAVER(inapp; search; 2000; 12.6.3)", InAppNotice("NAVER", None)),
        (f"{IPHONE} NAVER(inapp; search; 2000; 12.6.3; 15PRO)", InAppNotice("NAVER", None)),
        (ANDROID_WEB_VIEW, None),
        (f"{IPHONE} Version/17.5 Safari/604.1", None),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/124.0.0.0 Whale/3.26 Safari/537.36",
            None,
        ),
        ("Mozilla/5.0 (compatible; Pipeline/2.0; Outline/3 Online/4)", None),
        ("", None),
        ("A" * 10_000, None),
    ],
)
def test_an_in_app_browser_is_recognized_by_its_user_agent(user_agent: str, expected: InAppNotice | None) -> None:
    assert notice(user_agent, PAGE, "en") == expected


def test_the_link_out_of_the_app_keeps_the_return_address() -> None:
    line, kakao = notice("Line/14.9.0", QUERY, "en"), notice("KAKAOTALK 10", QUERY, "ko")
    assert line
    assert kakao
    assert line.external_url == f"{QUERY}&openExternalBrowser=1"
    assert kakao.external_url == "kakaotalk://web/openExternal?url=" + QUERY.replace("%", "%25").replace(
        ":", "%3A", 1
    ).replace("/", "%2F").replace("?", "%3F", 1).replace("=", "%3D", 1)


def test_without_any_usable_provider_there_is_no_empty_list(shared_site: SiteMaker) -> None:
    site = shared_site(providers="google", google_client_id="id", google_client_secret="secret-of-this-test")
    page = site.new_visitor(**{"User-Agent": f"{IPHONE} Instagram 334.0.4.32.98"}).get_page("/auth/login/email")
    assert page.texts("div[@class='notice']/p")[0] == "Google sign-in does not work inside Instagram."
    assert not page.find_all("ul[@class='provider-list']")


def test_without_unusable_providers_there_is_no_notice(shared_site: SiteMaker) -> None:
    site = shared_site(providers="kakao", kakao_client_id="id", kakao_client_secret="secret-of-this-test")
    page = site.new_visitor(**{"User-Agent": "Line/14.9.0"}).get_page("/auth/login/email")
    assert not page.find_all("div[@class='notice']")
    assert len(page.find_all("button[@class='provider-button provider-button-kakao']")) == 1
