"""Metrics for Prometheus, shown at `/metrics`.

Each label has few values: providers of the settings, error codes, hosts that the site itself calls.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask

from services.observability import audit

MAX_HOSTS = 50
"""Hosts with a label of their own; others are counted as `other`. An issuer's metadata can name any number of hosts."""
_LIMITS = ("address", "account", "account-total")
"""Values of the label `limit`, for the limits of sign-ins by password."""
_CSRF_OUTCOMES = ("CookiesBlocked", "FormExpired", "OriginMismatch")
_REFRESH_OUTCOMES = ("refreshed", "shared", "refused", "failed")
_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10)
"""Seconds."""


class Metrics:
    """Counts signals. The parameters are the senders of these signals.

    redis_parts: value of the label `part` -> sender; empty without Redis.
    providers: the values of the label `provider`.
    """

    def __init__(
        self,
        sender: Flask,
        http_clients: Iterable[object],
        refresher: object,
        redis_parts: Mapping[str, object],
        providers: Iterable[str] = (),
    ) -> None:
        # Imported here: on import, the library decides by an environment variable that `serve.py` sets whether
        # several processes count together.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415

        self._registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self._registry}
        self._sign_ins = Counter("munjigi_sign_ins", "Sign-ins by outcome.", ["provider", "outcome"], **options)
        self._sign_outs = Counter("munjigi_sign_outs", "Sign-outs.", ["everywhere"], **options)
        self._rate_limited = Counter("munjigi_login_rate_limited", "Rate-limited sign-ins.", ["limit"], **options)
        self._csrf_failures = Counter("munjigi_csrf_failures", "Forms without a valid token.", ["outcome"], **options)
        self._revoked = Counter(
            "munjigi_revoked_sessions_refused", "Requests with a revoked session.", ["by"], **options
        )
        self._revocations = Counter(
            "munjigi_session_revocations", "Requests that end other sessions.", ["by"], **options
        )
        self._provider_events = Counter(
            "munjigi_provider_events", "Notifications of providers.", ["provider", "type", "outcome"], **options
        )
        self._upstream = Histogram(
            "munjigi_upstream_request_duration_seconds",
            "Calls to the backend and to providers.",
            ["host", "status_class"],
            buckets=_BUCKETS,
            **options,
        )
        self._refreshes = Histogram(
            "munjigi_token_refresh_duration_seconds",
            "How long requests waited for a refresh of the backend's tokens.",
            ["outcome"],
            buckets=_BUCKETS,
            **options,
        )
        # The last value of any worker: one that lost Redis repeats it, the others say only when it is back.
        self._redis_up = Gauge(
            "munjigi_redis_up", "Whether Redis answers.", ["part"], multiprocess_mode="mostrecent", **options
        )
        self._counters: Mapping[str, tuple[Any, tuple[str, ...]]] = {
            "signed_in": (self._sign_ins, ("provider", "outcome")),
            "sign_in_failed": (self._sign_ins, ("provider", "outcome")),
            "signed_out": (self._sign_outs, ("everywhere",)),
            "rate_limited": (self._rate_limited, ("limit",)),
            "csrf_failed": (self._csrf_failures, ("outcome",)),
            "session_revoked": (self._revocations, ("by",)),
            "session_expired": (self._revoked, ("by",)),
            "provider_event": (self._provider_events, ("provider", "type", "outcome")),
        }
        """Event -> its counter, and the fields that are its labels."""
        self._hosts: set[str] = set()
        self._start_at_zero(providers)
        audit.audited.connect(self._count_event, sender)
        for client in http_clients:
            audit.upstream_request_finished.connect(self._observe_request, client)
        audit.token_refresh_finished.connect(self._observe_refresh, refresher)
        for part, source in redis_parts.items():
            self._redis_up.labels(part).set(1)
            audit.redis_state_changed.connect(self._set_redis_up, source)

    def _start_at_zero(self, providers: Iterable[str]) -> None:
        """Add the series whose labels are known: of one that begins with 1, Prometheus does not see the first event."""
        for provider in providers:
            for outcome in ("signed_in", "CredentialsSignin", "OAuthCallback", "Configuration"):
                self._sign_ins.labels(provider, outcome)
        for everywhere in (False, True):
            self._sign_outs.labels(_label(everywhere))
        for limit in _LIMITS:
            self._rate_limited.labels(limit)
        for outcome in _CSRF_OUTCOMES:
            self._csrf_failures.labels(outcome)
        for by in ("person", "backend"):
            self._revoked.labels(by)
        for outcome in _REFRESH_OUTCOMES:
            self._refreshes.labels(outcome)

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus, summed over all workers."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess  # noqa: PLC0415

        registry = CollectorRegistry()
        try:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        except ValueError:  # a single process
            registry = self._registry
        return bytes(generate_latest(registry))

    def _observe_request(self, _: object, host: str, status_class: str, seconds: float) -> None:
        if len(self._hosts) < MAX_HOSTS:
            self._hosts.add(host)
        if host not in self._hosts:
            host = "other"
        self._upstream.labels(host, status_class).observe(seconds)

    def _observe_refresh(self, _: object, outcome: str, seconds: float) -> None:
        self._refreshes.labels(outcome).observe(seconds)

    def _count_event(self, _: object, event: str, fields: Mapping[str, Any]) -> None:
        if event not in self._counters:
            return
        counter, labels = self._counters[event]
        values = {"everywhere": False, **({"outcome": "signed_in"} if event == "signed_in" else {}), **fields}
        counter.labels(*(_label(values[name]) for name in labels)).inc()

    def _set_redis_up(self, _: object, part: str, up: bool) -> None:
        self._redis_up.labels(part).set(up)


def _label(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
