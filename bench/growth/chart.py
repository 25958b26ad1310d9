"""Small line charts as SVG, dark or light as the reader has it. What is drawn where; the template draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2, log10
from pathlib import Path

from jinja2 import Template

WIDTH, HEIGHT, GAP, HEAD = 290, 200, 30, 50
LEFT, RIGHT, TOP, BOTTOM = 44, WIDTH - 10, 28, HEIGHT - 40
COLOURS = "abc"
_NARROWEST = 24
"""Pixels between two numbers below a chart."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    name: str
    unit: str
    lines: Mapping[str, Points]
    """The same names in all panels of a chart."""


def chart(title: str, panels: list[Panel], columns: int, *, doubling: bool = True) -> str:
    """`doubling`: each doubling across takes the same room. Upwards, all begin at zero."""
    rows = -(-len(panels) // columns)
    template = Template((Path(__file__).parent / "chart.svg.jinja").read_text(), autoescape=True)
    drawn: str = template.render(
        title=title,
        width=columns * (WIDTH + GAP) + GAP,
        height=HEAD + rows * (HEIGHT + GAP),
        legend=_legend(list(panels[0].lines)),
        panels=[
            {
                "x": GAP + number % columns * (WIDTH + GAP),
                "y": HEAD + number // columns * (HEIGHT + GAP),
                "name": panel.name,
                "unit": panel.unit,
                **_drawn(panel, log2 if doubling else float),
            }
            for number, panel in enumerate(panels)
        ],
        left=LEFT,
        right=RIGHT,
        bottom=BOTTOM,
    )
    return drawn


def ticks(most: float) -> list[float]:
    """From zero to the first that is not below the most: at most six, of 1, 2 or 5 and zeros."""
    power = 10.0 ** (floor(log10(most)) - 1) if most else 1.0
    step = next(digit * power for digit in (1, 2, 5, 10, 20) if most <= 5 * digit * power)
    return [round(step * number, 9) for number in range(max(1, ceil(most / step)) + 1)]


def _drawn(panel: Panel, scaled: Callable[[float], float]) -> dict[str, object]:
    points = [point for line in panel.lines.values() for point in line]
    numbers, marks = sorted({x for x, _ in points}), ticks(max(y for _, y in points))
    first, last = scaled(numbers[0]), scaled(numbers[-1])

    def across(x: float) -> float:
        return round(LEFT + (scaled(x) - first) / (last - first) * (RIGHT - LEFT), 1)

    def up(y: float) -> float:
        return round(BOTTOM - y / marks[-1] * (BOTTOM - TOP), 1)

    return {
        "marks": [(f"{mark:,g}", up(mark)) for mark in marks],
        "across": _apart([(f"{number:,g}", across(number)) for number in numbers]),
        "lines": [
            (colour, [(across(x), up(y)) for x, y in line])
            for colour, line in zip(COLOURS, panel.lines.values(), strict=False)
        ],
    }


def _apart(numbers: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Without those that would stand in the one before; the last stays."""
    kept = numbers[-1:]
    for text, x in reversed(numbers[:-1]):
        if kept[0][1] - x >= _NARROWEST:
            kept.insert(0, (text, x))
    return kept


def _legend(names: list[str]) -> list[tuple[str, str, int]]:
    """One line alone needs no name."""
    places = [GAP + sum(len(name) * 7 + 50 for name in names[:number]) for number in range(len(names))]
    return list(zip(names, COLOURS, places, strict=False)) if len(names) > 1 else []
