"""Each of the measurements named, or all: its figures are printed, its plot goes to `docs/performance/`."""

import signal
import sys
from pathlib import Path

import uvloop

from bench.growth import sessions, slow, threads
from bench.load import WrongAnswer
from bench.machine import here
from bench.table import markdown

PLOTS = Path(__file__).parents[2] / "docs/performance"
KINDS = {"threads": threads, "sessions": sessions, "slow": slow}


def main(names: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if unknown := set(names) - set(KINDS):
        sys.exit(f"not one of {', '.join(KINDS)}: {', '.join(sorted(unknown))}")
    PLOTS.mkdir(exist_ok=True)
    print(here())
    for name in names or KINDS:
        rows, plot = uvloop.run(KINDS[name].measured())
        (PLOTS / f"{name}.svg").write_text(plot)
        print(f"\n{markdown(rows)}", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except WrongAnswer as error:
        sys.exit(f"The bench stopped at a wrong answer. {error}")
    except KeyboardInterrupt:
        sys.exit(130)
