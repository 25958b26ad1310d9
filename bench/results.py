"""The results of a run, and the arithmetic on them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Sample:
    """One turn of one site."""

    done: int
    seconds: float
    cpu: float = 0.0
    """Processor seconds that the site's processes used."""
    failed: int = 0

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def cpu_rate(self) -> float:
        """How many get done in one second of processor time. 0 where it cannot be measured."""
        return self.done / self.cpu if self.cpu else 0.0


@dataclass
class Results:
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    """By task and site. The same index in the lists of two sites is the same round."""
    peak_memory: dict[str, int | None] = field(default_factory=dict)
    """Bytes by site, as the sum of VmHWM."""
    unique_memory: dict[str, int | None] = field(default_factory=dict)
    """Bytes by site, the most after any round, shared pages counted once."""
    start_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    page_bytes: dict[str, int] = field(default_factory=dict)

    def of(self, task: str, site: str) -> list[Sample]:
        return self.samples.get((task, site), [])

    def cpu_each(self, task: str, site: str) -> float:
        """Processor seconds of one, over all rounds."""
        samples = self.of(task, site)
        return sum(sample.cpu for sample in samples) / sum(sample.done for sample in samples) if samples else 0.0


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """The median over the rounds of the one divided by the other; None without both."""
    ratios = [one / other for one, other in zip(numerators, denominators, strict=False) if other]
    return median(ratios) if ratios else None
