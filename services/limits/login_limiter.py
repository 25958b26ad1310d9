"""How often anybody may try to sign in. A try counts before the backend is called, so that parallel guesses count too.

Three limits: per client address, whatever the account; per account *and* address, so that a stranger's guesses never
lock out the owner, who comes from elsewhere; and per account over all addresses, against a stranger with many of them.
A browser that has signed in to the account before is counted apart in the last two (`device.py`).
"""

import ipaddress
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from flask import request
from limits import RateLimitItem
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter

import errors
from config import Settings
from services.clock import Clock
from services.event_loop import wait_for
from services.limits.account_key import account_key
from services.limits.device_cookie import Device
from services.limits.memory_storage import BoundedMemoryStorage
from services.observability.audit import audit, client_address, normalize_email
from services.state.redis import Redis

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Rule:
    name: str
    limit: RateLimitItem
    key: tuple[str, ...]


class _Counts:
    """Rules counted in one storage."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = MovingWindowRateLimiter(storage)

    async def hit(self, rule: _Rule) -> bool:
        """Count one, if there is room."""
        return await self._limiter.hit(rule.limit, rule.name, *rule.key)

    async def used(self, rule: _Rule) -> int:
        window = await self._limiter.get_window_stats(rule.limit, rule.name, *rule.key)
        return rule.limit.amount - window.remaining

    async def seconds_left(self, rule: _Rule, now: float) -> int:
        """Until there is room; 0 if there is."""
        window = await self._limiter.get_window_stats(rule.limit, rule.name, *rule.key)
        return 0 if window.remaining else math.ceil(window.reset_time - now)

    async def clear(self, rule: _Rule) -> None:
        await self._limiter.clear(rule.limit, rule.name, *rule.key)


class _RedisCounts(_Counts):
    """The same in Redis, which has so long for each command."""

    def __init__(self, storage: Storage, redis: Redis) -> None:
        super().__init__(storage)
        self._redis = redis

    async def hit(self, rule: _Rule) -> bool:
        return await self._redis.command(lambda: super(_RedisCounts, self).hit(rule))

    async def used(self, rule: _Rule) -> int:
        return await self._redis.command(lambda: super(_RedisCounts, self).used(rule))

    async def seconds_left(self, rule: _Rule, now: float) -> int:
        return await self._redis.command(lambda: super(_RedisCounts, self).seconds_left(rule, now))

    async def clear(self, rule: _Rule) -> None:
        await self._redis.command(lambda: super(_RedisCounts, self).clear(rule))


class LoginLimiter:
    def __init__(self, settings: Settings, redis: Redis | None, device: Device, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self._redis = redis
        self._device = device
        self._in_process = _Counts(BoundedMemoryStorage(clock))

    def hit_ip(self) -> None:
        """Count one start of a sign-in from this client address; raises `TooManyAttempts`."""
        self._hit(self._address_rule(_network()))

    def hit(self, email: str) -> Callable[[], None]:
        """Count one sign-in to this account; raises `TooManyAttempts`. Returns what gives the count back: call it if
        the sign-in succeeds."""
        network = _network()
        account, spelling, total = self._account_rules(email, network)
        self._hit(self._address_rule(network), account, spelling, total)
        return partial(self._give_back, email, account, spelling)

    def _give_back(self, email: str, account: _Rule, spelling: _Rule) -> None:
        """It was the right password: nobody has been guessing here.

        Unless under other spellings, one of which may be an account of the guesser's own.
        """

        async def clear(counts: _Counts) -> None:
            if await counts.used(spelling) == await counts.used(account):
                await counts.clear(account)
            await counts.clear(spelling)

        wait_for(self._count(clear))
        self._device.remember(email)

    def _hit(self, *rules: _Rule) -> None:
        async def hit_all(counts: _Counts) -> tuple[str, int] | None:
            for rule in rules:
                if not await counts.hit(rule):
                    now = self._clock.time()
                    # The longest wait of all: after a shorter one, another limit might still be reached.
                    return rule.name, max(1, *[await counts.seconds_left(each, now) for each in rules])
            return None

        if reached := wait_for(self._count(hit_all)):
            name, wait = reached
            audit("rate_limited", limit=name, wait=wait)
            raise errors.TooManyAttempts(f"the limit per {name} is reached", retry_after=wait)

    async def _count(self, operation: Callable[[_Counts], Coroutine[Any, Any, _T]]) -> _T:
        """In Redis; in this process without one, and while it is unavailable."""
        if self._redis is None:
            return await operation(self._in_process)
        redis = self._redis
        return await redis.run(
            lambda storage: operation(_RedisCounts(storage, redis)), otherwise=lambda: operation(self._in_process)
        )

    def _address_rule(self, network: str) -> _Rule:
        return _Rule("address", self._settings.login_limit_per_ip, (network,))

    def _account_rules(self, email: str, network: str) -> tuple[_Rule, _Rule, _Rule]:
        spelling, account = (self._device.accounts(text)[0] for text in (normalize_email(email), account_key(email)))
        device, settings = self._device.known(email), self._settings
        client = device or network
        return (
            _Rule("account", settings.login_limit_per_account_and_ip, (account, client)),
            _Rule("spelling", settings.login_limit_per_account_and_ip, (spelling, client)),
            _Rule("account-total", settings.login_limit_per_account, (account, device or "")),
        )


def _network() -> str:
    """The client's address, or its /64 with IPv6, of which one customer has all (RFC 6177)."""
    address = client_address(request.remote_addr)
    if address is None:  # a socket without addresses: all who come that way are counted as one
        return "unknown"
    return str(ipaddress.ip_network((address, 64), strict=False)) if ":" in address else address
