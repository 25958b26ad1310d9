"""The pages of docs/backends/ say what the code, the recorded exchanges and the tests with real servers say."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import backends
import config
from backends import overrides
from tests.support import backend_pages
from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage
from tests.support.site import SECRET

PAGES = [backend_pages.FOLDER / f"{name}.md" for name in ("README", *backend_pages.PRESETS)]
CHOOSERS = [MarkdownPage(ROOT / "docs" / name) for name in ("your-backend.md", "your-backend.ko.md")]
READMES = [MarkdownPage(ROOT / name) for name in ("README.md", "README.ko.md")]
REQUIRED = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
SETTINGS = MarkdownPage(ROOT / "docs" / "settings.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_shows_the_recorded_exchanges(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count(backend_pages.MARKER) == 1, "run make generate"
    assert text == backend_pages.written_part(path) + backend_pages.generated_part(path), "run make generate"


@pytest.mark.parametrize("name", backend_pages.PRESETS)
def test_a_backend_without_a_page_gets_one_with_its_name_and_settings(name: str) -> None:
    title, empty, summary, _, *block = backend_pages.new_page(name).splitlines()
    assert re.fullmatch(r"# [\w.]\S.+[^.]", title)
    assert empty == ""
    assert summary.startswith(f"For {title.removeprefix('# ')}")
    assert block[:3] == ["```ini", f"BACKEND={name}", "BACKEND_URL=https://api.example.com"]
    assert block[-1] == "```"
    required = [setting for setting, spec in backends.find(name).settings.items() if spec.required]
    assert [line.partition("=")[0] for line in block[3:-1]] == required


def test_the_lists_of_backends_have_all_of_them() -> None:
    outdated = [path.name for path, text in backend_pages.lists() if path.read_text("utf-8") != text]
    assert outdated == [], "run make generate"


def test_each_proof_is_of_a_real_server_a_recording_or_sources() -> None:
    proofs = {
        name: [backend_pages.proof(name, column) for column in backend_pages.COLUMNS]
        for name in backends.names()[1:]
        if name in backend_pages.PRESETS
    }
    assert {sign for row in proofs.values() for sign in row} == set(backend_pages.PROOFS)
    assert all(row[0] in "RBS" and row[1] in "RBS" for row in proofs.values())
    assert proofs["djoser"][0] == "R"
    assert proofs["parse"][0] == "B"
    assert set(proofs["supabase"]) <= {"S", "–"}


@pytest.mark.parametrize("name", backends.names())
def test_a_page_begins_with_the_settings_of_its_backend(name: str) -> None:
    page = MarkdownPage(backend_pages.FOLDER / f"{name}.md")
    block = next(block for block in page.code_blocks if block.language == "ini")
    assert "BACKEND_URL=" in block.text
    assert name == "laravel" or block.text.startswith(f"BACKEND={name}\n")


@pytest.mark.parametrize("page", CHOOSERS, ids=lambda page: page.name)
def test_the_chooser_links_each_backend_once(page: MarkdownPage) -> None:
    rows = [row for row in page.table_rows if "](backends/" in row[-1]]
    chosen = [row[-1].partition("`BACKEND=")[2].partition("`")[0] for row in rows]
    assert sorted(chosen) == sorted(backends.names())
    for row, name in zip(rows, chosen, strict=True):
        assert f"](backends/{name}.md)" in row[-1]
        settings = dict(re.findall(r"`([A-Z_]+)=([^`]+)`", row[-1]))
        filled = {setting: SECRET if value[0] in "<…" else value for setting, value in settings.items()}
        if name != "custom":
            config.load(REQUIRED | filled)


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_readme_says_how_each_backend_was_proven(page: MarkdownPage) -> None:
    rows = {row[1]: row[0] for row in page.table_rows if "](docs/backends/" in row[0]}
    assert len(rows) == 3
    for sign, links in zip("RBS", rows.values(), strict=True):
        linked = [urlsplit(link.partition("](")[2]).path.partition(".md")[0] for link in links.split(", ")]
        names = [path.removeprefix("docs/backends/") for path in linked]
        assert names == [name for name in backend_pages.PRESETS if backend_pages.overall_proof(name) == sign]


@pytest.mark.parametrize("name", [*overrides.SETTINGS, *overrides.CONSTANTS])
def test_the_example_of_a_setting_can_be_read(name: str) -> None:
    examples = {row[0].strip("`"): row[1].strip("`") for row in SETTINGS.table_rows}
    spec = overrides.SETTINGS.get(name) or overrides.CONSTANTS[name]
    assert name in examples
    if examples[name]:
        spec.reader(examples[name].replace("\\|", "|"))
