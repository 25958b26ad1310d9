"""What came out of the rounds, and the arithmetic on it."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

MUNJIGI, NEXT_AUTH, EMPTY = "Munjigi", "next-auth", "the empty view"
ALONE, WRK = "the load generator", "wrk"


@dataclass(frozen=True)
class Round:
    done: int
    seconds: float
    busy: float = 0.0
    """Seconds of a core that the processes measured have used."""

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def cost(self) -> float:
        """Seconds of a core that one takes."""
        return self.busy / self.done


@dataclass
class Figures:
    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=lambda: defaultdict(list))
    """By work and contender; the same place in two lists is the same turn, shortly after each other."""
    memory: dict[str, int | None] = field(default_factory=dict)
    """The most at any time, of each process by itself."""
    occupied: dict[str, int | None] = field(default_factory=dict)
    """The most after any round, pages that processes share counted once."""
    weight: dict[str, int] = field(default_factory=dict)

    def rates(self, work: str, contender: str) -> list[float]:
        return [one.rate for one in self.rounds[work, contender]]

    def has(self, work: str, contender: str) -> bool:
        return (work, contender) in self.rounds

    def times(self, work: str, contender: str, other_work: str, other: str) -> float:
        """How often the one gets its work done while the other does its own once, in the median round."""
        both = zip(self.rates(work, contender), self.rates(other_work, other), strict=True)
        return median(one / another for one, another in both)

    def cost(self, work: str, contender: str) -> float:
        """Seconds of a core that one takes: what others do on the machine meanwhile hardly shows here."""
        rounds = self.rounds[work, contender]
        return sum(one.busy for one in rounds) / sum(one.done for one in rounds)
