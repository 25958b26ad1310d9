"""Any backend: `BACKEND_LOGIN`, `BACKEND_TOKEN`, `BACKEND_USER` and the like describe it. docs/backends/custom.md"""

from backends.base import SIGN_UP_BODY, Backend, Call

backend = Backend(
    id="custom",
    login=Call("POST", None, {"email": "{identifier}", "password": "{password}"}),
    social=Call("POST", None, {"provider": "{provider}", "token": "{social_token}"}),
    social_register=Call("POST", None, {"challenge": "{challenge}", **SIGN_UP_BODY}),
    user=Call("GET", None),
    refresh=Call("POST", None),
    logout=Call("POST", None),
    profile=Call("PATCH", None, {"name": "{name}", "nick_name": "{nick_name}"}),
    register=Call("POST", None, {"email": "{identifier}", "password": "{password}"}),
    forgot=Call("POST", None, {"email": "{identifier}"}),
    reset=Call("POST", None, {"code": "{code}", "password": "{new_password}"}),
    verify_email=Call("POST", None, {"code": "{code}"}),
    resend_verification=Call("POST", None, {"email": "{identifier}"}),
    change_password=Call("POST", None, {"current_password": "{password}", "new_password": "{new_password}"}),
    verify=Call("POST", None, {"challenge": "{challenge}", "method": "{method}", "code": "{code}"}),
    verify_recovery_code=Call("POST", None, {"challenge": "{challenge}", "recovery_code": "{code}"}),
    resend=Call("POST", None, {"challenge": "{challenge}", "method": "{method}"}),
    token="",
    message="message|error.message|error_description|detail",
)
