"""Limits on sign-ins, codes, mails and sign-ups. An attempt is counted before the backend is called, so that parallel
guesses count too.

There are three limits: per client address, whatever the account; per account *and* address, so that a stranger's
guesses never lock out the owner, who has another address; and per account over all addresses, against a stranger with
many addresses. In the last two, a browser that has signed in to the account before is counted separately
(`device_cookie.py`).
"""

import ipaddress
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter

import errors
from config import Settings
from services import identifiers
from services.clock import Clock
from services.event_loop import wait_for
from services.limits.account_key import account_key
from services.limits.device_cookie import DeviceCookie
from services.limits.memory_storage import BoundedMemoryStorage
from services.observability.audit import AuditLog
from services.request_context import RequestContext
from services.state.redis import Redis

MAX_CODES = 5
"""Codes that may be entered for one pending sign-in. There are a million codes of six digits, so a guesser finds the
right one in 1 of 200,000 sign-ins."""
MAX_RESENDS = 5
"""Codes that may be sent for one pending sign-in: each may cost an SMS."""
MAX_SIGN_UPS = 20
"""Submissions of the form of one pending sign-up: a person corrects a few fields. The answers may reveal whether an
address has an account."""
_PENDING_SECONDS = 660
"""A sign-in is pending for ten minutes, and processes may disagree about the time by one."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Rule:
    name: str
    limit: RateLimitItem
    key: tuple[str, ...]


class _Counts:
    """Counts of rules in one storage."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = MovingWindowRateLimiter(storage)

    async def hit(self, rule: _Rule) -> bool:
        """Count one if the limit allows it. Returns whether it does."""
        return await self._limiter.hit(rule.limit, rule.name, *rule.key)

    async def used(self, rule: _Rule) -> int:
        window = await self._limiter.get_window_stats(rule.limit, rule.name, *rule.key)
        return rule.limit.amount - window.remaining

    async def seconds_left(self, rule: _Rule, now: float) -> int:
        """Seconds until the limit allows one more; 0 if it does now."""
        window = await self._limiter.get_window_stats(rule.limit, rule.name, *rule.key)
        # Counts in Redis may come from a process whose clock is ahead.
        return 0 if window.remaining else min(math.ceil(window.reset_time - now), rule.limit.get_expiry())

    async def clear(self, rule: _Rule) -> None:
        await self._limiter.clear(rule.limit, rule.name, *rule.key)


class _RedisCounts(_Counts):
    """Counts in Redis. Each command is limited in time."""

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


class RateLimiter:
    def __init__(
        self, settings: Settings, redis: Redis | None, device_cookie: DeviceCookie, audit: AuditLog, clock: Clock
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._device_cookie = device_cookie
        self._audit = audit
        self._clock = clock
        self._in_process = _Counts(BoundedMemoryStorage(clock))

    def hit_ip(self, context: RequestContext) -> None:
        """Count an attempt of which only the client's address is known; raises `TooManyAttempts`."""
        self._hit(context, self._ip_rule(context))

    def hit_passkey_options(self, context: RequestContext) -> None:
        """Count a request for passkey options; raises `TooManyAttempts`.

        They have a count of their own, because a sign-in page requests them when it opens.
        """
        self._hit(context, _Rule("passkey-options", self._settings.login_limit_per_ip, (_network(context),)))

    def hit_sign_in(self, identifier: str, context: RequestContext) -> Callable[[], None]:
        """Count a sign-in to this account; raises `TooManyAttempts`.

        Returns a function to call if the sign-in succeeds: it resets the count of the account.
        """
        account, spelling, total = self._account_rules(identifier, context)
        self._hit(context, self._ip_rule(context), account, spelling, total)
        return partial(self._reset, identifier, context, account, spelling)

    def hit_mail(self, identifier: str, context: RequestContext) -> None:
        """Count a form that may send a mail to this account, whether it exists or not; raises `TooManyAttempts`."""
        settings = self._settings
        account, client, device_id = self._account(identifier, context)
        self._hit(
            context,
            _Rule("mail-address", settings.mail_limit_per_ip, (_network(context),)),
            _Rule("mail-account", settings.mail_limit_per_account_and_ip, (account, client)),
            _Rule("mail-account-total", settings.mail_limit_per_account, (account, device_id)),
        )

    def hit_code(self, identifier: str | None, context: RequestContext) -> None:
        """Count a code that a person enters from a mail; raises `TooManyAttempts`.

        identifier: of the account, if it is known.
        """
        rules = [self._ip_rule(context)]
        if identifier:
            account, client, device_id = self._account(identifier, context)
            rules += [
                _Rule("code-account", self._settings.login_limit_per_account_and_ip, (account, client)),
                _Rule("code-account-total", self._settings.login_limit_per_account, (account, device_id)),
            ]
        self._hit(context, *rules)

    def _account(self, identifier: str, context: RequestContext) -> tuple[str, str, str]:
        """The key of an account, of the client that it is counted for, and of its device if that is known."""
        account = self._device_cookie.account_keys(account_key(identifier, self._settings.login_identifier))[0]
        device_id = self._device_cookie.id_for(identifier, context)
        return account, device_id or _network(context), device_id or ""

    def hit_step_code(self, account: str, pending_id: str, context: RequestContext) -> Callable[[], None]:
        """Count a code of a pending sign-in; raises `TooManyAttempts`, or `TooManyCodes` for this sign-in.

        Codes have counts of their own, so that wrong ones do not use up the sign-ins. Returns a function to call if
        the code is right: it resets the counts.
        """
        limit = RateLimitItemPerSecond(MAX_CODES, _PENDING_SECONDS)
        rules = self._step_rules(account, context)
        try:
            self._hit(context, _Rule("step-codes", limit, (pending_id,)))
        except errors.TooManyAttempts as error:
            raise errors.TooManyCodes(error.reason) from None
        self._hit(context, self._ip_rule(context), *rules)

        async def clear(counts: _Counts) -> None:
            await counts.clear(rules[0])

        return lambda: wait_for(self._count(clear))

    def hit_sign_up(self, identifier: str | None, pending_id: str, context: RequestContext) -> None:
        """Count the form of a new account of a person whom a provider has identified; raises `TooManyAttempts`.

        identifier: the address or number in the form, to which a message may be sent.
        """
        limit = RateLimitItemPerSecond(MAX_SIGN_UPS, _PENDING_SECONDS)
        self._hit(context, _Rule("sign-up", limit, (pending_id,)), self._ip_rule(context))
        if identifier:
            self.hit_mail(identifier, context)

    def hit_resend(self, account: str, pending_id: str, wait: int, context: RequestContext) -> None:
        """Count a code that is sent again, `wait` seconds after the last one or later; raises `TooManyAttempts`."""
        try:
            self._hit(context, _Rule("step-resend", RateLimitItemPerSecond(1, max(1, wait)), (pending_id,)))
        except errors.TooManyAttempts as error:
            raise errors.CodeSentRecently(error.reason, retry_after=error.retry_after) from None
        resends = _Rule("step-resends", RateLimitItemPerSecond(MAX_RESENDS, _PENDING_SECONDS), (pending_id,))
        self._hit(context, resends, self._ip_rule(context), *self._step_rules(account, context, "step-resend-"))

    def reset(self, identifier: str, context: RequestContext) -> None:
        """Reset the count of an account, as after a sign-in."""
        account, spelling, _ = self._account_rules(identifier, context)
        self._reset(identifier, context, account, spelling)

    def _step_rules(self, account: str, context: RequestContext, prefix: str = "step-") -> list[_Rule]:
        account_rule, _, total = self._account_rules(account, context)
        return [_Rule(prefix + rule.name, rule.limit, rule.key) for rule in (account_rule, total)]

    def _reset(self, identifier: str, context: RequestContext, account: _Rule, spelling: _Rule) -> None:
        """Reset the count of an account after a right password, unless other spellings of it were tried too.

        A guesser may own an account whose identifier is such a spelling.
        """

        async def clear(counts: _Counts) -> None:
            if await counts.used(spelling) == await counts.used(account):
                await counts.clear(account)
            await counts.clear(spelling)

        wait_for(self._count(clear))
        self._device_cookie.remember(identifier, context)

    def _hit(self, context: RequestContext, *rules: _Rule) -> None:
        async def hit_all(counts: _Counts) -> tuple[str, int] | None:
            for rule in rules:
                if not await counts.hit(rule):
                    now = self._clock.time()
                    # The longest wait of all rules: after a shorter one, another limit might still be reached.
                    return rule.name, max(1, *[await counts.seconds_left(each, now) for each in rules])
            return None

        if reached := wait_for(self._count(hit_all)):
            limit, wait = reached
            self._audit.record("rate_limited", context, limit=limit, wait=wait)
            raise errors.TooManyAttempts(f"the limit per {limit} is reached", retry_after=wait)

    async def _count(self, operation: Callable[[_Counts], Coroutine[Any, Any, _T]]) -> _T:
        """Run an operation on the counts in Redis, or on those of this process if Redis is unset or unavailable."""
        if self._redis is None:
            return await operation(self._in_process)
        redis = self._redis
        return await redis.run(
            lambda storage: operation(_RedisCounts(storage, redis)), otherwise=lambda: operation(self._in_process)
        )

    def _ip_rule(self, context: RequestContext) -> _Rule:
        return _Rule("address", self._settings.login_limit_per_ip, (_network(context),))

    def _account_rules(self, identifier: str, context: RequestContext) -> tuple[_Rule, _Rule, _Rule]:
        spelling = self._device_cookie.account_keys(identifiers.fold_case(identifier))[0]
        account = self._device_cookie.account_keys(account_key(identifier, self._settings.login_identifier))[0]
        device_id, settings = self._device_cookie.id_for(identifier, context), self._settings
        client = device_id or _network(context)
        return (
            _Rule("account", settings.login_limit_per_account_and_ip, (account, client)),
            _Rule("spelling", settings.login_limit_per_account_and_ip, (spelling, client)),
            _Rule("account-total", settings.login_limit_per_account, (account, device_id or "")),
        )


def _network(context: RequestContext) -> str:
    """The client's IPv4 address, or the /64 of its IPv6 address, which belongs to one customer (RFC 6177)."""
    address = context.client_ip
    if address is None:  # for example a Unix socket: all clients are counted as one
        return "unknown"
    return str(ipaddress.ip_network((address, 64), strict=False)) if ":" in address else address
