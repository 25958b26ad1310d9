"""The docs as tests ask for them: a page's headings, links, tables, words of code and blocks of code."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.commands import ROOT

_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class CodeBlock:
    """A block of code, and the first of its lines in the page."""

    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Of a `console` block: each command, its continued lines joined, and what it prints."""
        found = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", self.text, re.MULTILINE)
        return [(command.replace("\\\n", " "), output) for command, output in found]


class MarkdownPage:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text("utf-8")

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def tokens(self) -> list[Token]:
        return _PARSER.parse(self.text)

    @cached_property
    def _inline(self) -> list[Token]:
        return [child for token in self.tokens for child in token.children or ()]

    @property
    def code_blocks(self) -> list[CodeBlock]:
        return [
            CodeBlock(token.info, token.content, (token.map or [0])[0] + 1)
            for token in self.tokens
            if token.type in ("fence", "code_block")
        ]

    @property
    def links(self) -> list[str]:
        """Where links lead and pictures are, those written as HTML too."""
        named = [
            str(t.attrs.get("href") or t.attrs.get("src")) for t in self._inline if t.type in ("link_open", "image")
        ]
        html = "".join(t.content for t in [*self.tokens, *self._inline] if t.type in ("html_block", "html_inline"))
        return named + re.findall(r'(?:href|src|srcset)="([^"]+)"', html)

    @property
    def inline_code(self) -> list[str]:
        """The words of code within sentences."""
        return [token.content for token in self._inline if token.type == "code_inline"]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Their levels and texts, in order."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [(int(opened.tag[1]), inline.content) for opened, inline in pairs if opened.type == "heading_open"]

    @property
    def anchors(self) -> set[str]:
        """What a `#` can lead to, as GitHub makes it of the headings."""
        found: dict[str, int] = {}
        for _, text in self.headings:
            word = _anchor(text)
            found[word] = found.get(word, -1) + 1
            if found[word]:
                found[f"{word}-{found[word]}"] = 0
        return set(found)

    @property
    def table_rows(self) -> Iterator[list[str]]:
        """Of all tables, head rows too: the cells as they are written."""
        for token in self.tokens:
            if token.type == "tr_open" and token.map:
                line = self.text.splitlines()[token.map[0]]
                yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]

    @property
    def prose(self) -> str:
        """The sentences alone, without code."""
        paragraphs = (token.children for token in self.tokens if token.children)
        texts = ("".join(one.content or " " for one in kids if one.type != "code_inline") for kids in paragraphs)
        return "\n".join(texts)


def _anchor(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return "".join("-" if c == " " else c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
