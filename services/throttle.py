"""How often anybody may try to sign in: counted before the backend is asked, so that parallel guesses count too.

Three limits. Per client address, whatever the account. Per account *and* address, so that a stranger's guesses
never lock out the owner, who comes from elsewhere. Per account over all addresses, for a stranger with many of
them; a browser that has signed in to the account before is counted apart there (`device.py`).
"""

import ipaddress
import math
import re
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cachetools import LRUCache
from flask import request
from limits import RateLimitItem, WindowStats
from limits.strategies import MovingWindowRateLimiter

import errors
from config import Settings
from services.clock import Clock
from services.device import Device
from services.events import audit, client_address, same_address
from services.shared_state import SharedState, StateUnavailable

_MOST_KEYS = 100_000
_LATIN = re.compile(r"LATIN (?:SMALL|CAPITAL) (?:LETTER|LIGATURE) (?:LONG |INSULAR )?(\w{1,2})(?: |$)")
"""Names of letters that are an `a`, or an `ae`, with a stroke, in a circle, or above another letter."""
_Result = TypeVar("_Result")


class ProcessLimiter(MovingWindowRateLimiter):
    """The library's, counting in this process: its own storage there keeps each key for ever, and starts a
    thread for each count. Here the key that was used longest ago goes when there are too many. A key is the
    identifiers alone, the first of which names the limit.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: LRUCache[tuple[str, ...], list[float]] = LRUCache(_MOST_KEYS)
        self._lock = threading.Lock()

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        with self._lock:
            taken = self._within(identifiers, item.get_expiry())
            if len(taken) + cost > item.amount:
                return False
            taken += [self._clock.time()] * cost
            self._taken[identifiers] = taken
            return True

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        with self._lock:
            taken = self._within(identifiers, item.get_expiry())
            return WindowStats(
                (taken[0] if taken else self._clock.time()) + item.get_expiry(), item.amount - len(taken)
            )

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:  # noqa: ARG002  # as the library has it
        with self._lock:
            self._taken.pop(identifiers, None)

    def _within(self, key: tuple[str, ...], seconds: int) -> list[float]:
        """The counts of this key, oldest first, once those are gone that are older than so many seconds."""
        since = self._clock.time() - seconds
        taken: list[float] = self._taken.get(key, [])
        while taken and taken[0] <= since:
            taken.pop(0)
        return taken


@dataclass(frozen=True)
class _Rule:
    name: str
    limit: RateLimitItem
    key: tuple[str, ...]

    def hit(self, limiter: MovingWindowRateLimiter) -> bool:
        """Count one, if there is room."""
        return limiter.hit(self.limit, self.name, *self.key)

    def seconds_left(self, limiter: MovingWindowRateLimiter, now: float) -> int:
        """Until there is room; 0 if there is."""
        window = limiter.get_window_stats(self.limit, self.name, *self.key)
        return 0 if window.remaining else math.ceil(window.reset_time - now)

    def used(self, limiter: MovingWindowRateLimiter) -> int:
        return self.limit.amount - limiter.get_window_stats(self.limit, self.name, *self.key).remaining

    def clear(self, limiter: MovingWindowRateLimiter) -> None:
        limiter.clear(self.limit, self.name, *self.key)


class Throttle:
    def __init__(self, settings: Settings, state: SharedState, device: Device, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self._state = state
        self._device = device
        self._here = ProcessLimiter(clock)

    def take_address(self) -> None:
        """Count one start of a sign-in from this address; raises `TooManyAttempts`, as the next one does."""
        self._take(self._of_address(_network()))

    def take(self, email: str) -> Callable[[], None]:
        """Count one sign-in to this account. To be called if it succeeds: what gives the account's count back."""
        network = _network()
        account, spelling, total = self._of_account(email, network)
        self._take(self._of_address(network), account, spelling, total)
        return partial(self._give_back, email, account, spelling)

    def _give_back(self, email: str, account: _Rule, spelling: _Rule) -> None:
        """It was the right password: nobody has been guessing here.

        Unless under other spellings, one of which may be an account of the guesser's own.
        """

        def forget(limiter: MovingWindowRateLimiter) -> None:
            if spelling.used(limiter) == account.used(limiter):
                account.clear(limiter)
            spelling.clear(limiter)

        self._counting(forget)
        self._device.remember(email)

    def _take(self, *rules: _Rule) -> None:
        def full(limiter: MovingWindowRateLimiter) -> tuple[str, int] | None:
            found = next((rule for rule in rules if not rule.hit(limiter)), None)
            # Who waits for this one alone might wait in vain, if another is full for longer.
            return (
                (found.name, max(1, *(rule.seconds_left(limiter, self._clock.time()) for rule in rules)))
                if found
                else None
            )

        if found := self._counting(full):
            name, wait = found
            audit("limited", limit=name, wait=wait)
            raise errors.TooManyAttempts(f"the limit per {name} is reached", retry_after=wait)

    def _counting(self, count: Callable[[MovingWindowRateLimiter], _Result]) -> _Result:
        """In the shared state; while that is away, in this process."""
        try:
            return self._state.ask(lambda storage: count(MovingWindowRateLimiter(storage)))
        except StateUnavailable:
            return count(self._here)

    def _of_address(self, network: str) -> _Rule:
        return _Rule("address", self._settings.login_limit_address, (network,))

    def _of_account(self, email: str, network: str) -> tuple[_Rule, _Rule, _Rule]:
        spelling, account = (self._device.accounts(text)[0] for text in (same_address(email), _counted_as(email)))
        device, settings = self._device.known(email), self._settings
        who = device or network
        return (
            _Rule("account", settings.login_limit_account, (account, who)),
            _Rule("spelling", settings.login_limit_account, (spelling, who)),
            _Rule("account-total", settings.login_limit_account_total, (account, device or "")),
        )


def _network() -> str:
    """Who asks, as far as an address tells: an IPv6 customer has a whole /64 (RFC 6177)."""
    text = client_address(request.remote_addr)
    if text is None:  # a socket without addresses: all who come that way are one
        return "unknown"
    return str(ipaddress.ip_network((text, 64), strict=False)) if ":" in text else text


def _counted_as(email: str) -> str:
    """What all spellings of an address have in common that a backend might take for one.

    Many databases compare without accents, so letters are taken apart (NFKD) and their marks left out; and by the
    first weight of the Unicode collation alone (MySQL 8, as it comes) any script's 5 is a 5, and `ł` an `l`.
    """
    return "".join(map(_plain, unicodedata.normalize("NFKD", same_address(email).replace("ð", "d"))))


def _plain(char: str) -> str:
    if char.isascii():
        return char if char.isalnum() or char == "@" else ""
    number = unicodedata.numeric(char, -1)
    if number in range(10):
        return str(int(number))
    latin = _LATIN.search(unicodedata.name(char, ""))
    return latin[1].lower() if latin else char if char.isalnum() else ""
