"""The login page: its path, the settings for a button of every provider, and a browser inside another app."""

LOGIN = "/auth/login/email"
SEVEN_PROVIDERS: dict[str, object] = {
    "providers": "kakao,naver,apple,google,github,line,oidc",
    **{f"{name}_client_id": "id" for name in ("kakao", "naver", "apple", "google", "github", "line", "oidc")},
    **{f"{name}_client_secret": "secret-of-this-test" for name in ("naver", "google", "github", "line", "oidc")},
    "apple_client_secret": "a.b.c",
    "oidc_issuer": "https://id.example.com",
}
ANDROID_WEB_VIEW = "Mozilla/5.0 (Linux; Android 14; SM-S911N; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
ANDROID_WEB_VIEW += " Chrome/124.0.0.0 Mobile Safari/537.36"
