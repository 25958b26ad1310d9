"""In-app browsers, by their `User-Agent`, and the link that opens another browser."""

import pytest

from tests.support.login_page import ANDROID_WEB_VIEW
from tests.support.site import SiteMaker
from web import in_app_browsers
from web.in_app_browsers import InAppNotice

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90"
MACINTOSH = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
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
        (f"{IPHONE} musical_ly_34.1.0 JsSdk/2.0 NetType/WIFI BytedanceWebview/d8a21c6", InAppNotice("TikTok", None)),
        (f"{ANDROID_WEB_VIEW} trill_340104 BytedanceWebview/d8a21c6", InAppNotice("TikTok", None)),
        (f"{IPHONE} Barcelona 289.0.0.16.109 (iPhone14,5; iOS 17_5)", InAppNotice("Threads", None)),
        (f"{ANDROID_WEB_VIEW} Barcelona 289.0.0.77.109 Android", InAppNotice("Threads", None)),
        (f"{IPHONE} [FBAN/MessengerForiOS;FBAV/450.0.0.36.109]", InAppNotice("Messenger", None)),
        (f"{ANDROID_WEB_VIEW} [FB_IAB/Orca-Android;FBAV/450.0.0.45.109;]", InAppNotice("Messenger", None)),
        (f"{IPHONE} Safari/604.1 Twitter for iPhone/10.44", InAppNotice("X", None)),
        (f"{ANDROID_WEB_VIEW} TwitterAndroid", InAppNotice("X", None)),
        (f"{IPHONE} Snapchat/12.90.0.38 (like Safari/8618.2.12.10.9, panda)", InAppNotice("Snapchat", None)),
        (f"{IPHONE} [LinkedInApp]/9.29.8532", InAppNotice("LinkedIn", None)),
        (f"{IPHONE} [Pinterest/iOS]", InAppNotice("Pinterest", None)),
        (f"{ANDROID_WEB_VIEW} MicroMessenger/8.0.49.2600(0x28003133) WeChat/arm64", InAppNotice("WeChat", None)),
        (f"{IPHONE} MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/ko", InAppNotice("WeChat", None)),
        (f"{ANDROID_WEB_VIEW} DaumApps/8.2.0 DaumDevice/mobile", InAppNotice("Daum", None)),
        (f"{IPHONE} BAND/16.1.0 (iOS 17.5; iPhone15,2)", InAppNotice("BAND", None)),
        (ANDROID_WEB_VIEW, InAppNotice("this app", None)),
        (ANDROID_WEB_VIEW.replace("SM-S911N", "moto g(7) power Build/QPOS30"), InAppNotice("this app", None)),
        (IPHONE, InAppNotice("this app", None)),
        (IPHONE.replace("(iPhone; CPU iPhone OS 17_5", "(iPad; CPU OS 17_5"), InAppNotice("this app", None)),
        (f"{MACINTOSH} AppleWebKit/605.1.15 (KHTML, like Gecko)", InAppNotice("this app", None)),
        (f"{MACINTOSH} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", None),
        (f"{MACINTOSH} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", None),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:133.0) Gecko/20100101 Firefox/133.0", None),
        ("Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0", None),
        (ANDROID_WEB_VIEW.replace("; wv)", ")").replace("Version/4.0 ", ""), None),
        (ANDROID_WEB_VIEW.replace("; wv)", ")").replace("Version/4.0", "SamsungBrowser/27.0"), None),
        (f"{IPHONE.replace('Mobile', 'CriOS/131.0.6778.73 Mobile')} Safari/604.1", None),
        (f"{IPHONE.replace('Mobile', 'FxiOS/133.0 Mobile')} Safari/605.1.15", None),
        (f"{IPHONE.replace('Mobile', 'GSA/344.0 Mobile')} Safari/604.1", None),
        (f"{IPHONE} Version/17.5 Safari/604.1", None),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/124.0.0.0 Whale/3.26 Safari/537.36",
            None,
        ),
        ("Mozilla/5.0 (compatible; Pipeline/2.0; Outline/3 Online/4)", None),
        ("", None),
        ("A" * 10_000, None),
        ("iPhone AppleWebKit/" * 5_000 + "Safari/604.1", InAppNotice("this app", None)),
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


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "Google sign-in does not work inside this app."),
        ("ko", "이 앱 안에서는 Google 로그인을 할 수 없어요."),
        ("ja", "このアプリ内のブラウザでは"),
    ],
)
def test_any_web_view_gets_the_notice_instead_of_the_button(
    shared_site: SiteMaker, language: str, sentence: str
) -> None:
    site = shared_site(providers="google", google_client_id="id", google_client_secret="secret-of-this-test")
    visitor = site.new_visitor(**{"User-Agent": ANDROID_WEB_VIEW, "Accept-Language": language})
    page = visitor.get_page("/auth/login/email")
    assert sentence in page.texts("div[@class='notice']/p")[0]
    assert not page.find_all("ul[@class='provider-list']")


def test_without_unusable_providers_there_is_no_notice(shared_site: SiteMaker) -> None:
    site = shared_site(providers="kakao", kakao_client_id="id", kakao_client_secret="secret-of-this-test")
    page = site.new_visitor(**{"User-Agent": "Line/14.9.0"}).get_page("/auth/login/email")
    assert not page.find_all("div[@class='notice']")
    assert len(page.find_all("button[@class='provider-button provider-button-kakao']")) == 1
