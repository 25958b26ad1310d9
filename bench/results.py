"""The results of a run, and calculations on them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Sample:
    """The measurement of one turn of one site."""

    done: int
    seconds: float
    cpu: float = 0.0
    """CPU seconds that the processes of the site used."""
    failed: int = 0

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Tasks per CPU second. 0 if CPU time cannot be measured."""
        return self.done / self.cpu if self.cpu else 0.0


@dataclass
class Results:
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    """Samples by task and site. The same index in two lists is the same round."""
    peak_memory: dict[str, int | None] = field(default_factory=dict)
    """Bytes by site: the sum of VmHWM."""
    unique_memory: dict[str, int | None] = field(default_factory=dict)
    """Bytes by site: the maximum over the rounds, with shared pages counted once."""
    start_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    page_bytes: dict[str, int] = field(default_factory=dict)

    def of(self, task: str, site: str) -> list[Sample]:
        return self.samples.get((task, site), [])

    def cpu_each(self, task: str, site: str) -> float:
        """Return the CPU seconds per task over all rounds."""
        samples = self.of(task, site)
        return sum(sample.cpu for sample in samples) / sum(sample.done for sample in samples) if samples else 0.0


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """Return the median of the ratios of each round, or None without values."""
    ratios = [
        numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=False) if denominator
    ]
    return median(ratios) if ratios else None
