"""What an operator's Prometheus sees at `/metrics`: how often what happens, and how long others take to answer.

Each label has few values: providers of the settings, codes of `errors.py`, hosts that the site itself calls.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask

from services.observability import audit
from services.sessions.revocation import RevokedSessions
from services.state.redis import Redis

MAX_HOSTS = 50
"""Of which calls are told apart: an issuer says by itself where its addresses are, and may say another each day."""
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10)


class Metrics:
    def __init__(self, upstreams: Iterable[object], redis: Redis | None, ended: RevokedSessions) -> None:
        # Here, and not above: on import the library decides whether several processes count together, by an
        # environment variable that `serve.py` sets.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415

        self._registry = CollectorRegistry()
        given: dict[str, Any] = {"registry": self._registry}
        self._sign_ins = Counter("munjigi_sign_ins", "Sign-ins by how they ended.", ["provider", "outcome"], **given)
        self._sign_outs = Counter("munjigi_sign_outs", "Sign-outs.", ["everywhere"], **given)
        self._limited = Counter(
            "munjigi_login_rate_limited", "Sign-ins refused for being too many.", ["limit"], **given
        )
        self._refused = Counter("munjigi_csrf_failures", "Forms without their token.", ["outcome"], **given)
        self._ended = Counter("munjigi_revoked_sessions_refused", "Sessions that had been ended.", ["by"], **given)
        self._upstream = Histogram(
            "munjigi_upstream_request_duration_seconds",
            "Calls of others.",
            ["host", "status_class"],
            buckets=_SECONDS,
            **given,
        )
        # The last word of any worker: who has lost it says so again and again, the others only when it is back.
        self._state = Gauge("munjigi_redis_up", "Does it answer?", ["part"], multiprocess_mode="mostrecent", **given)
        self._hosts: set[str] = set()
        for upstream in upstreams:
            audit.upstream_request_finished.connect(self._called, upstream)
        if redis:
            for part, sender in (("counts", redis), ("ended_sessions", ended)):
                self._state.labels(part).set(1)
                audit.redis_state_changed.connect(self._state_seen, sender)

    def listen(self, site: Flask) -> None:
        """Count what happens at this site."""
        audit.audited.connect(self._count, site)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format; of all workers together where there are several."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess  # noqa: PLC0415

        together = CollectorRegistry()
        try:
            multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        except ValueError:  # one process, which counts for itself
            together = self._registry
        return bytes(generate_latest(together))

    def _called(self, _: object, host: str, status_class: str, seconds: float) -> None:
        if len(self._hosts) < MAX_HOSTS:
            self._hosts.add(host)
        if host not in self._hosts:
            host = "other"
        self._upstream.labels(host, status_class).observe(seconds)

    def _count(self, _: object, event: str, facts: Mapping[str, Any]) -> None:
        match event:
            case "signed_in":
                self._sign_ins.labels(facts["provider"], "signed_in").inc()
            case "sign_in_failed":
                self._sign_ins.labels(facts["provider"], facts["outcome"]).inc()
            case "signed_out":
                self._sign_outs.labels(str(facts.get("everywhere", False)).lower()).inc()
            case "rate_limited":
                self._limited.labels(facts["limit"]).inc()
            case "csrf_failed":
                self._refused.labels(facts["outcome"]).inc()
            case "session_expired":
                self._ended.labels(facts["by"]).inc()

    def _state_seen(self, _: object, part: str, up: bool) -> None:
        self._state.labels(part).set(up)
