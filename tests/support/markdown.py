"""Parse a Markdown page: headings, links, tables, inline code and code blocks."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.commands import ROOT

_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class CodeBlock:
    """A code block. `line` is the number of its first line in the page."""

    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[tuple[str, str]]:
        """The commands of a `console` block, with continuation lines joined, each with its output."""
        pairs = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", self.text, re.MULTILINE)
        return [(command.replace("\\\n", " "), output) for command, output in pairs]


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
        """The URLs of links and images, in Markdown and in HTML."""
        urls = [
            str(t.attrs.get("href") or t.attrs.get("src")) for t in self._inline if t.type in ("link_open", "image")
        ]
        html = "".join(t.content for t in [*self.tokens, *self._inline] if t.type in ("html_block", "html_inline"))
        return urls + re.findall(r'(?:href|src|srcset)="([^"]+)"', html)

    @property
    def inline_code(self) -> list[str]:
        """The texts of inline code."""
        return [token.content for token in self._inline if token.type == "code_inline"]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """The level and the text of each heading, in order."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [(int(opened.tag[1]), inline.content) for opened, inline in pairs if opened.type == "heading_open"]

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub makes of the headings, numbered where a heading repeats."""
        counts: dict[str, int] = {}
        for _, text in self.headings:
            anchor = _anchor(text)
            counts[anchor] = counts.get(anchor, -1) + 1
            if counts[anchor]:
                counts[f"{anchor}-{counts[anchor]}"] = 0
        return set(counts)

    @property
    def table_rows(self) -> Iterator[list[str]]:
        """The cells of each table row, with the head rows, as Markdown source."""
        for token in self.tokens:
            if token.type == "tr_open" and token.map:
                line = self.text.splitlines()[token.map[0]]
                yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]

    @property
    def prose(self) -> str:
        """The text of all paragraphs without code."""
        paragraphs = (token.children for token in self.tokens if token.children)
        texts = (
            "".join(token.content or " " for token in children if token.type != "code_inline")
            for children in paragraphs
        )
        return "\n".join(texts)


def _anchor(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return "".join("-" if c == " " else c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
