"""The docs are correct: links have targets, settings and commands exist, code blocks run or parse."""

import ast
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from dotenv import dotenv_values
from limits import RateLimitItem
from PIL import Image

import config
import dev
import providers
from dev import exchanges
from dev.stand_ins import create_stand_ins
from tests.support import docs_pictures
from tests.support.architecture import FILES, PACKAGES, imports, package_of
from tests.support.commands import DEVELOPMENT_ENVIRON, FLASK, ROOT, free_port_pair, require_program
from tests.support.markdown import CodeBlock, MarkdownPage
from tests.support.setting_names import BACKEND_SETTINGS
from tests.support.site import SECRET, Site, serve_in_thread

PATHS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md"), ROOT / "tests" / "README.md"}
)
DOCS = {doc.name: doc for doc in map(MarkdownPage, PATHS)}
BLOCKS = [(doc, block) for doc in DOCS.values() for block in doc.code_blocks]
SETTINGS = {field.name.upper(): field for field in fields(config.Settings) if field.metadata}
SECRET_FILES = {f"{name}_FILE" for name, field in SETTINGS.items() if field.metadata["secret"]}
OF_PROVIDERS = {f"{name.upper()}_{part}" for name in providers.names() for part in providers.find(name).all_settings}
TRANSLATED = {"README.ko.md": "README.md", "docs/getting-started.ko.md": "docs/getting-started.md"}


def of(language: str) -> list[tuple[MarkdownPage, CodeBlock]]:
    return [(doc, block) for doc, block in BLOCKS if block.language == language]


def place(value: object) -> str | None:
    """Return the test id of a page or of a block in it."""
    if isinstance(value, CodeBlock):
        return f"line {value.line}"
    return value.name if isinstance(value, MarkdownPage) else None


# --- Links


@pytest.mark.parametrize("doc", DOCS.values(), ids=place)
def test_every_link_has_a_target(doc: MarkdownPage) -> None:
    for link in doc.links:
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1"), link
            continue
        target = (doc.path.parent / unquote(parts.path)).resolve() if parts.path else doc.path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if parts.fragment:
            assert unquote(parts.fragment) in MarkdownPage(target).anchors, link


def test_every_page_is_listed_in_the_docs_index() -> None:
    linked = {(ROOT / "docs" / urlsplit(link).path).resolve() for link in DOCS["docs/README.md"].links}
    pages = {path for path in PATHS if path.is_relative_to(ROOT / "docs") and path.parent.name != "decisions"}
    for folder in ("backends", "providers"):
        linked |= {ROOT / "docs" / folder / urlsplit(link).path for link in DOCS[f"docs/{folder}/README.md"].links}
    missing = {path.relative_to(ROOT).as_posix() for path in pages - linked} - {"docs/README.md"}
    assert missing - {"docs/providers/README.md", "docs/backends/README.md"} == set()
    assert {ROOT / "docs" / folder / "README.md" for folder in ("providers", "backends")} <= linked


def test_every_file_that_is_named_exists() -> None:
    """Applies to names with a folder, such as `services/backend/client.py`, except those of other projects."""
    others = ("app/", "routes/", "bootstrap/", "config/", "pages/", "lib/", "instance/", "deploy/site/", "components/")
    modules = {
        path.name
        for path in [*FILES, *ROOT.glob("tests/*.py"), *ROOT.glob("tests/support/*.py"), *ROOT.glob("examples/*/*.py")]
    }
    for doc in DOCS.values():
        for word in doc.inline_code:
            if re.fullmatch(r"(?:\.?[\w-]+/)+[\w.-]*\.\w+", word) and not word.startswith(others):
                assert any((base / word).exists() for base in (ROOT, doc.path.parent)), f"{doc.name}: {word}"
            if re.fullmatch(r"\w+\.py", word):
                assert word in modules, f"{doc.name}: {word}"


def test_each_field_report_has_one_row_and_existing_tests() -> None:
    page = DOCS["docs/field-reports.md"]
    rows = [row for row in page.table_rows if row[0].startswith("[")]
    assert len(rows) > 50
    assert all(len(row) == 4 and all(row[:3]) for row in rows)
    reports = [link for link in page.links if link.startswith("https:")]
    assert len(reports) == len(set(reports)) == len(rows)
    source = "".join(
        path.read_text("utf-8") for path in ROOT.glob("tests/**/test_*.py") if "node_modules" not in path.parts
    )
    named = [word for word in page.inline_code if word.startswith("test_")]
    assert [name for name in named if f"def {name}(" not in source] == []
    assert len(named) > len(rows) - 5


def test_the_docs_show_exactly_the_pictures_that_are_generated() -> None:
    shown = {Path(link).stem for doc in DOCS.values() for link in doc.links if link.endswith(".webp")}
    kept = {path.stem for path in ROOT.glob("docs/pictures/*.webp")}
    assert shown == set(docs_pictures.PICTURES) == kept
    assert all(path.stat().st_size < 70_000 for path in ROOT.glob("docs/pictures/*.webp"))


def test_each_picture_of_the_gallery_has_settings_and_files_that_the_page_shows(tmp_path: Path) -> None:
    names = {picture.settings for picture in docs_pictures.PICTURES.values() if picture.settings.startswith("gallery")}
    assert len(names) > 5
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        settings = docs_pictures.gallery_settings(name, folder)
        assert {"SITE_NAME", "BRAND_COLOR"} <= set(settings)
        if settings.get("LOGO_URL", "").startswith("/auth/static/"):
            assert (folder / "static" / settings["LOGO_URL"].removeprefix("/auth/static/")).exists()


@pytest.mark.browser
@pytest.mark.external
def test_the_pictures_can_be_generated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.docs_pictures", str(tmp_path)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    if "no Chromium here" in made.stderr:
        require_program("chromium")
    assert made.returncode == 0, made.stderr
    assert {path.stem for path in tmp_path.iterdir()} == set(docs_pictures.PICTURES)
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert picture.width == 2 * docs_pictures.PICTURES[path.stem].width, (
                "two dots for each pixel: sharp on a good screen"
            )
            assert len(picture.getcolors(1_000_000) or ()) > 100, "not an empty page"


# --- Settings


def documented() -> dict[str, str]:
    """Return the rows of the settings table by name."""
    rows = {
        row[0].strip("`"): f"| {' | '.join(row)} |"
        for row in DOCS["docs/settings.md"].table_rows
        if row[0] != "setting"
    }
    return {name: row for name, row in rows.items() if not name.startswith(("-", "<"))}


def meanings() -> dict[str, str]:
    """Return the docstring below each field of `config.py`."""
    (settings,) = (
        node
        for node in ast.parse((ROOT / "config.py").read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    found = {}
    for first, then in zip(settings.body, settings.body[1:], strict=False):
        if isinstance(first, ast.AnnAssign) and isinstance(then, ast.Expr) and isinstance(then.value, ast.Constant):
            found[ast.unparse(first.target).upper()] = " ".join(str(then.value.value).split())
    return found


def default(name: str) -> str:
    value = SETTINGS[name].metadata["default"]
    if value is config._REQUIRED:
        return "required"
    if value in (None, (), {}):
        return "none"
    if isinstance(value, RateLimitItem):
        return f"`{SETTINGS[name].metadata['example']}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_table_matches_the_code(name: str) -> None:
    assert documented().get(name) == f"| `{name}` | {default(name)} | {meanings()[name]} |"


def test_the_example_of_a_limit_is_its_default() -> None:
    for field in SETTINGS.values():
        if isinstance(field.metadata["default"], RateLimitItem):
            assert field.metadata["reader"](field.metadata["example"]) == field.metadata["default"]


def test_the_settings_table_lists_each_provider_setting() -> None:
    text = DOCS["docs/settings.md"].text
    of_all = {f"<ID>_{part}" for part in ("CLIENT_ID", "CLIENT_SECRET", "BACKEND_NAME", "SCOPE", "PARAMS", "BASE_URL")}
    for name in of_all | {one for one in OF_PROVIDERS if f"<ID>_{one.partition('_')[2]}" not in of_all}:
        assert f"| `{name}` |" in text
    assert set(documented()) <= {*SETTINGS, *BACKEND_SETTINGS, *OF_PROVIDERS}


def test_the_settings_table_lists_each_part_of_a_backend() -> None:
    assert set(documented()) >= {*BACKEND_SETTINGS}


FOREIGN = {
    "NEXTAUTH_URL", "NEXTAUTH_SECRET", "NEXTAUTH_URL_INTERNAL", "NEXT_PUBLIC_KAKAO_SECRET", "NEXT_PUBLIC_GOOGLE_SECRET",
    "NEXT_PUBLIC_APPLE_CLIENT_SECRET", "AUTH_TRUST_HOST", "API_URL", "CALLBACK_ADDRESS", "MUNJIGI_URL",
    "MUNJIGI_EVENTS_TOKEN", "FLASK_APP", "SESSION_COOKIE_DOMAIN",
    "KAKAO_APPS", "GOOGLE_APPS", "APPLE_APPS", "GITHUB_APPS", "CLIENT_SECRET", "CLIENT_ID",
    "HEADER_X_FORWARDED_FOR", "ACCESS_DENIED", "INVALID_SCOPE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "PROMETHEUS_MULTIPROC_DIR", "DUMMY_HASH", "TOKEN_SECONDS",
    "AUTH_URL", "AUTH_SECRET", "AUTH_GOOGLE_ID", "AUTH_GOOGLE_SECRET", "AUTH_KEYCLOAK_ISSUER",
}  # fmt: skip
"""Names of other programs: NextAuth, Auth.js, the examples, code in the docs, the reader's shell, LINE, libraries."""
OF_ISSUERS = {f"{name}_{part}" for name in ("STAFF", "PARTNERS") for part in providers.find("oidc").all_settings} | {
    "STAFF_CLIENT_SECRET_FILE",
}
"""Settings of the examples' issuers `oidc:staff` and `oidc:partners`."""
OF_OPENTELEMETRY = {
    "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_SDK_DISABLED",
}  # fmt: skip
"""Variables that its SDK reads itself."""
OUR_PREFIXES = {name.partition("_")[0] for name in (*SETTINGS, *OF_PROVIDERS)}
RENAMED = {
    "BACKEND_RECOVER", "BACKEND_CHALLENGE", "BACKEND_CHALLENGE_SEND", "BACKEND_METHODS", "BACKEND_SENT_TO",
    "BACKEND_RESEND_AFTER", "BACKEND_REDIRECT_URL",
    "STATE_URL", "SESSION_RECHECK", "LOGIN_LIMIT_ADDRESS", "LOGIN_LIMIT_ACCOUNT", "LOGIN_LIMIT_ACCOUNT_TOTAL",
    "STOP_DELAY",
}  # fmt: skip
"""Settings that the changelog names and that no longer exist."""
CODES_OF_BACKENDS = {
    *(word for path in exchanges.FOLDER.glob("*.json") for word in re.findall(r"[A-Z_]+", path.read_text("utf-8"))),
    "USE_JWT", "JWT_AUTH_HTTPONLY", "JWT_AUTH_REFRESH_COOKIE", "USERNAME_FIELD", "AUTH_HEADER_TYPES",
    "MFA_SUPPORTED_TYPES", "MFA_PASSKEY_LOGIN_ENABLED", "MFA_ADAPTER",
    "ALLAUTH_TRUSTED_PROXY_COUNT", "INSTALLED_APPS", "LANGUAGE_CODE", "OAUTH2_VALIDATOR_CLASS", "OIDC_ENABLED",
    "HEADLESS_CLIENTS", "WTF_CSRF_ENABLED", "SECURITY_RETURN_GENERIC_RESPONSES", "MAIL_UNCONFIRMED", "TWO_FACTOR",
    "ACCOUNT_SIGNUP_FIELDS", "ACTIVATION_URL", "HEADLESS_FRONTEND_URLS", "OLD_PASSWORD_FIELD_ENABLED",
    "PASSWORD_RESET_CONFIRM_URL", "SEND_ACTIVATION_EMAIL", "SECURITY_CHANGEABLE", "SECURITY_CONFIRMABLE",
    "SECURITY_RECOVERABLE", "SECURITY_REGISTERABLE", "USER_REGISTER_URL_ALLOW_LIST", "PASSWORD_RESET_URL_ALLOW_LIST",
}  # fmt: skip
"""Codes in the answers of backends, and their own settings."""


@pytest.mark.parametrize("doc", DOCS.values(), ids=place)
def test_every_setting_that_is_named_exists(doc: MarkdownPage) -> None:
    words = {
        word
        for text in (*doc.inline_code, *(b.text for b in doc.code_blocks))
        for word in re.findall(r"(?<![\w.])[A-Z<>_]+", text)  # after a dot: a constant of a module
    }
    named = {word for word in words if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word)}
    if doc.name.startswith(("docs/backends/", "docs/providers/")):  # they name the settings of other programs
        named = {word for word in named if word.partition("_")[0] in OUR_PREFIXES}
    assert named <= {
        *SETTINGS,
        *SECRET_FILES,
        *BACKEND_SETTINGS,
        *OF_PROVIDERS,
        *OF_ISSUERS,
        *FOREIGN,
        "PSEUDO_LANGUAGE",  # of `flask run` only (dev/)
        *OF_OPENTELEMETRY,
        *(RENAMED if doc.name == "CHANGELOG.md" else ()),
        *(CODES_OF_BACKENDS if doc.name.startswith("docs/backends/") else ()),
    }


OURS = [(doc, block) for doc, block in of("ini") if "NEXTAUTH_URL" not in block.text]


@pytest.mark.parametrize(("doc", "block"), OURS, ids=place)
def test_every_env_block_can_be_loaded(doc: MarkdownPage, block: CodeBlock) -> None:
    """Adds required settings that the block leaves out; text in <> is a placeholder."""
    given = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(block.text)).items()}
    filled = {name: SECRET if value.startswith("<") or value == "..." else value for name, value in given.items()}
    needed = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
    if "APPLE_PRIVATE_KEY" in given:
        filled["APPLE_PRIVATE_KEY"] = _a_key()
    if filled.pop("ASSERTION_PRIVATE_KEY_FILE", None):
        filled["ASSERTION_PRIVATE_KEY"] = _a_key()
    assert set(given) <= {*SETTINGS, *SECRET_FILES, *BACKEND_SETTINGS, *OF_PROVIDERS, *OF_ISSUERS}
    config.load(needed | filled)


def _a_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_the_three_settings_of_the_readme_are_enough() -> None:
    block = next(block for block in DOCS["README.md"].code_blocks if block.language == "ini")
    given = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(block.text)).items()}
    assert len(given) == 3
    assert config.load({**given, "SECRET_KEY": SECRET}).backend_url == given["BACKEND_URL"]


# --- Commands


def commands(doc: MarkdownPage) -> Iterator[str]:
    for block in doc.code_blocks:
        if block.language == "console":
            yield from (command for command, _ in block.commands)
    yield from doc.inline_code


TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("doc", DOCS.values(), ids=place)
def test_every_command_that_is_named_exists(doc: MarkdownPage) -> None:
    of_flask = {"run", "routes", "shell", "doctor", "add-user"}
    for command in commands(doc):
        for target in re.findall(r"(?:^|[;&|] *)make ([a-z-]+)", command):
            assert target in TARGETS, command
        for word in re.findall(r"(?:^|[;&|/] *)flask (?:--app \w+ )?([a-z-]+)", command):
            assert word in of_flask, command
        for module in re.findall(r"python3? -m ([\w.]+)", command):
            path = ROOT / module.replace(".", "/")
            assert module == "venv" or path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command


def test_every_make_target_is_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == TARGETS


# --- Code blocks

LANGUAGES = {
    "console",
    "ini",
    "text",
    "python",
    "http",
    "json",
    "nginx",
    "caddy",
    "ts",
    "js",
    "java",
    "mermaid",
    "yaml",
    "promql",
    "css",
    "jinja",
}


@pytest.mark.parametrize(("doc", "block"), BLOCKS, ids=place)
def test_every_code_block_has_a_language(doc: MarkdownPage, block: CodeBlock) -> None:
    assert block.language in LANGUAGES


@pytest.mark.parametrize(("doc", "block"), of("console"), ids=place)
def test_every_console_block_is_valid_shell(doc: MarkdownPage, block: CodeBlock) -> None:
    assert block.text.startswith("$ ")
    assert block.commands
    for command, _ in block.commands:
        readable = re.sub(r"<[a-z가-힣][^<>]*>", "placeholder", command)
        subprocess.run(["bash", "-n"], input=readable, text=True, check=True, timeout=10)


@pytest.mark.parametrize(("doc", "block"), of("python"), ids=place)
def test_every_python_block_compiles(doc: MarkdownPage, block: CodeBlock) -> None:
    compile(block.text, doc.name, "exec")


PHP = sorted(ROOT.glob("examples/laravel-backend/**/*.php"))


@pytest.mark.parametrize("path", PHP, ids=lambda path: path.name)
@pytest.mark.external
def test_every_php_file_is_valid_php(path: Path) -> None:
    done = subprocess.run([require_program("php"), "-l", path], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_laravel_page_names_each_file_of_the_example() -> None:
    root = ROOT / "examples" / "laravel-backend"
    named = [row[0].strip("`") for row in DOCS["docs/laravel.md"].table_rows if "/" in row[0]]
    assert all((root / name).exists() for name in named)
    assert PHP
    missing = [path for path in PHP if not path.relative_to(root).as_posix().startswith(tuple(named))]
    assert missing == []


@pytest.mark.parametrize(("doc", "block"), of("json"), ids=place)
def test_every_json_block_is_valid_json(doc: MarkdownPage, block: CodeBlock) -> None:
    json.loads(block.text)


@pytest.mark.parametrize(("doc", "block"), of("http"), ids=place)
def test_every_http_block_is_a_valid_request(doc: MarkdownPage, block: CodeBlock) -> None:
    head, _, body = block.text.partition("\n\n")
    first, *headers = head.splitlines()
    assert re.fullmatch(r"(GET|POST|PATCH) /\S*", first)
    assert all(re.fullmatch(r"[\w-]+: .+", line) for line in headers)
    assert isinstance(json.loads(body), dict)


@pytest.fixture(scope="module")
def stand_in_backend() -> Iterator[str]:
    """The development backend, as `make run` starts it."""
    port = free_port_pair()
    settings = dev.completed({"SECRET_KEY": SECRET}, port)
    with serve_in_thread("127.0.0.1", lambda _: create_stand_ins(settings, port), port + 1):
        yield f"http://127.0.0.1:{port + 1}"


@pytest.mark.external
def test_the_backend_protocol_page_matches_what_curl_prints(stand_in_backend: str) -> None:
    """Runs all commands of the page in one shell; each prints the text below it, where `…` matches anything."""
    require_program("curl")
    shown = [pair for block in DOCS["docs/backends/laravel.md"].code_blocks for pair in block.commands]
    script = "".join(f"{command}\necho '<end>'\n" for command, _ in shown)
    told = _run(script.replace("http://127.0.0.1:8081", stand_in_backend))
    assert len(told) == len(shown) > 10
    for (command, expected), found in zip(shown, told, strict=True):
        assert _fits(expected, found), f"$ {command}\n{found}"


@pytest.mark.external
def test_the_first_call_of_getting_started_works(stand_in_backend: str) -> None:
    require_program("curl")
    for name in ("docs/getting-started.md", "docs/getting-started.ko.md"):
        (call,) = [pair for block in DOCS[name].code_blocks for pair in block.commands if ":8081/login" in pair[0]]
        (told,) = _run(call[0].replace("http://127.0.0.1:8081", stand_in_backend) + "\necho '<end>'\n")
        assert _fits(call[1], told), told


@pytest.mark.external
def test_the_forward_auth_example_call_works(site: Site) -> None:
    require_program("curl")
    pairs = [pair for block in DOCS["docs/forward-auth.md"].code_blocks for pair in block.commands]
    (call,) = [pair for pair in pairs if pair[0].startswith("curl")]
    host = urlsplit(site.url).netloc
    (told,) = _run(call[0].replace("localhost:8080", host) + "\necho '<end>'\n")
    assert told.replace(host, "localhost:8080").replace(quote(host), quote("localhost:8080")) == call[1]


def test_getting_started_shows_what_make_run_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = (block for block in DOCS["docs/getting-started.md"].code_blocks if block.language == "text")
    dev._print_greeting({"SITE_URL": "http://localhost:8080"}, 8080, ["backend"], "email")
    printed = capsys.readouterr().out.strip()
    assert printed.startswith(shown.text.partition("…")[0].strip())


@pytest.mark.server
def test_the_doctor_accepts_the_settings_of_getting_started(stand_in_backend: str) -> None:
    """Uses the settings of the page, with a key, and with the stand-in as backend."""
    *_, block = (block for block in DOCS["docs/getting-started.md"].code_blocks if block.language == "ini")
    given = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(block.text)).items()}
    environ = {**os.environ, **DEVELOPMENT_ENVIRON, **given, "SECRET_KEY": SECRET, "BACKEND_URL": stand_in_backend}
    done = subprocess.run(
        [FLASK, "doctor"], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    (shown,) = [
        output
        for one in DOCS["docs/getting-started.md"].code_blocks
        for command, output in one.commands
        if command.endswith("flask doctor")
    ]
    assert _fits(shown, done.stdout), done.stdout + done.stderr


def _run(script: str) -> list[str]:
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.replace("\r", "").split("<end>\n")[:-1]


def _fits(expected: str, found: str) -> bool:
    return re.fullmatch(re.escape(expected.strip()).replace("…", ".+"), found.strip(), re.DOTALL) is not None


# --- Diagrams


def drawn(block: CodeBlock) -> set[tuple[str, str]]:
    return set(re.findall(r"(\w+) --> (\w+)", block.text))


def reached(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the transitive closure."""
    more = arrows | {(a, d) for a, b in arrows for c, d in arrows if b == c}
    return more if more == arrows else reached(more)


def test_the_package_diagram_matches_the_imports() -> None:
    packages, _ = (block for block in DOCS["docs/architecture.md"].code_blocks if block.language == "mermaid")
    real = {
        (package_of(path), known)
        for path in FILES
        if path.name != "__main__.py"  # a program, as serve.py is
        for known in {module.partition(".")[0] for module in imports(path)} & set(PACKAGES) - {package_of(path)}
    }
    assert reached(drawn(packages)) == reached(real)


def test_each_arrow_of_the_services_diagram_is_an_import() -> None:
    """An arrow stands for an import between two modules or packages of `services/`."""
    _, services = (block for block in DOCS["docs/architecture.md"].code_blocks if block.language == "mermaid")
    for importer, imported in drawn(services):
        files = [*ROOT.glob(f"services/{importer}.py"), *ROOT.glob(f"services/{importer}/*.py")]
        modules = {module for path in files for module in imports(path)}
        pattern = rf"services\.{imported}(\.|$)"
        assert any(re.match(pattern, module) for module in modules), f"{importer} --> {imported}"


def described() -> set[str]:
    """The packages and modules that the tables of architecture.md describe."""
    return {row[0].strip("`") for row in DOCS["docs/architecture.md"].table_rows}


def test_every_package_is_described() -> None:
    assert {f"{name}.py" if (ROOT / f"{name}.py").exists() else f"{name}/" for name in PACKAGES} <= described()


def test_every_part_of_the_services_is_described() -> None:
    parts = {path.name for path in ROOT.glob("services/*.py")} - {"__init__.py"}
    parts |= {f"{path.parent.name}/" for path in ROOT.glob("services/*/__init__.py")}
    assert len(parts) > 10
    assert parts <= described()


def test_every_function_in_the_sign_in_walkthrough_exists() -> None:
    steps = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)` `([\w.]+)`", DOCS["docs/architecture.md"].text)
    assert len(steps) > 20
    for path, name in steps:
        within: list[ast.stmt] = ast.parse((ROOT / path).read_text("utf-8")).body
        for part in name.split("."):
            found = [n for n in within if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == part]
            assert found, f"{path} has no {name}"
            within = found[0].body


def test_each_file_of_which_file_do_i_open_exists_and_has_what_the_row_names() -> None:
    _, _, rest = DOCS["docs/contributing.md"].text.partition("## Which file do I open to …")
    rows = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 30
    for row in rows:
        files = re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|html|css|yaml|json))`((?: `\w[\w.]*`)?)", row.split("|")[2])
        assert files, row
        for path, name in files:
            text = (ROOT / path).read_text("utf-8")
            for part in name.strip(" `").split("."):
                assert not part or re.search(rf"(?:class|def) {part}\b", text), f"{path} has no {part}"


# --- Log lines

LEVELS = ("(info)", "(warning)", "(error)")


def first_cells(doc: str, head: str) -> list[str]:
    """The first cell of each row of the page's table with this head."""
    _, _, rows = DOCS[doc].text.partition(f"| {head} |\n")
    return [row.split("|")[1].strip() for row in rows.partition("\n\n")[0].splitlines()[1:]]


def test_every_log_line_that_is_explained_is_written() -> None:
    """A line of operations.md is a message of the code or, before ` …`, its start."""
    source = "".join(path.read_text("utf-8") for path in FILES)
    cells = [cell for cell in first_cells("docs/operations.md", "log line | meaning") if cell.endswith(LEVELS)]
    assert len(cells) > 10
    for cell in cells:
        line = cell.split("`")[1].partition(" …")[0]
        assert f'"{line}' in source, line


def test_every_audit_event_is_explained() -> None:
    events = {cell.strip("`") for cell in first_cells("docs/operations.md", "event | fields besides `address`")}
    assert events == set(re.findall(r'audit\.record\(\s*"(\w+)"', "".join(path.read_text("utf-8") for path in FILES)))


# --- Korean pages


@pytest.mark.parametrize("korean", TRANSLATED)
def test_a_korean_page_has_the_same_sections_and_code_as_the_english_one(korean: str) -> None:
    ours, english = DOCS[korean], DOCS[TRANSLATED[korean]]
    assert [level for level, _ in ours.headings] == [level for level, _ in english.headings]
    assert [block.language for block in ours.code_blocks] == [block.language for block in english.code_blocks]
    assert [_typed(block) for block in ours.code_blocks] == [_typed(block) for block in english.code_blocks]
    assert _places(ours) >= _places(english) - {TRANSLATED[korean], korean}


def _typed(block: CodeBlock) -> list[str]:
    """Return what a reader types, without the text of placeholders."""
    lines = [command for command, _ in block.commands] or block.text.splitlines()
    return [re.sub(r"<[^<>]+>", "<>", line) for line in lines]


def _places(doc: MarkdownPage) -> set[str]:
    """Return the targets of all links and pictures, without their language suffix."""
    relative = (urlsplit(link).path for link in doc.links if not urlsplit(link).scheme)
    names = {os.path.relpath((doc.path.parent / path).resolve(), ROOT) for path in relative}
    return {re.sub(r"sign-in-(ko|en)", "sign-in", name).replace(".ko.md", ".md") for name in names}
