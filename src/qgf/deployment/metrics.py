"""What a server counts and measures, in Prometheus' text format."""

from __future__ import annotations

from qgf.errors import UserError

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
except ImportError:
    raise UserError("serving needs prometheus-client: pip install 'qgf[serve]'") from None

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
OUTCOMES = ("guided", "unguided", "late", "malformed", "limited", "failed")


class Metrics:
    """Counters of one server.

    Requests end `guided`; `unguided`, in time but without guidance; `late`, answered after their deadline; `malformed`;
    `limited`, more than a client may send; or `failed`, where the policy did.
    """

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("qgf_requests", "Requests by what became of them", ["outcome"], registry=own)
        for outcome in OUTCOMES:
            self.requests.labels(outcome)
        self.refused = Counter("qgf_connections_refused", "Connections refused", ["reason"], registry=own)
        self.loads = Counter("qgf_policy_loads", "Policies that took the place of another", ["result"], registry=own)
        self.clients = Gauge("qgf_clients", "Connected clients", registry=own)
        self.answering = Histogram(
            "qgf_request_seconds", "From a request's arrival to its answer", buckets=SECONDS, registry=own
        )
        self.inferring = Histogram(
            "qgf_inference_seconds", "The policy's own time, a batch at a time", buckets=SECONDS, registry=own
        )

    def count(self, outcome: str) -> None:
        self.requests.labels(outcome).inc()

    def text(self) -> str:
        return generate_latest(self._registry).decode()
