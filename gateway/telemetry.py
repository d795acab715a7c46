"""One span and two metrics a call, and a log without secrets."""

import logging
import re
import sys
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from adapters.spi import Call

BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
SECRET = re.compile(r"key|token|secret|passw|authorization|cookie|seed", re.IGNORECASE)
CREDENTIAL = re.compile(r"(?i)\b(bearer\s+|dk_)[A-Za-z0-9._~+/=-]{8,}|(?<=://)[^/@\s]+@")
PROPAGATOR = TraceContextTextMapPropagator()
tracer = trace.get_tracer("doolittle")


@contextmanager
def span(call: Call) -> Generator[str | None]:
    """One span around a call, a child of its `trace`. Gives the traceparent to send on (None: nobody traces)."""
    if call.trace is None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield None  # nobody traces: neither the caller, nor this process
        return
    parent = PROPAGATOR.extract({"traceparent": call.trace}) if call.trace else None
    with tracer.start_as_current_span(call.method, parent, attributes={"doolittle.tool": call.tool}) as current:
        if not current.get_span_context().is_valid:
            yield call.trace
            return
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, trace.set_span_in_context(current))
        yield carrier.get("traceparent")


class Metrics:
    """Counters of one gateway. Labels are networks and outcomes, never tools: their number is not bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("caller_network", "network", "outcome")
        self._calls = Counter("doolittle_calls", "Calls ended.", labels, registry=self.registry)
        self._seconds = Histogram(
            "doolittle_call_seconds", "Seconds per call.", labels[:2], buckets=BUCKETS, registry=self.registry
        )
        self.running = Gauge("doolittle_calls_running", "Calls running now.", registry=self.registry)
        self.upstreams = Gauge(
            "doolittle_upstream_up", "1 if the upstream answers.", ("upstream",), registry=self.registry
        )
        self._kept: dict[tuple[str, str, str], tuple[Any, Any]] = {}

    def ended(self, caller_network: str, network: str, outcome: str, seconds: float) -> None:
        """One call ended with "ok", "ask" or the code of its error."""
        key = (caller_network, network, outcome)
        children = self._kept.get(key)
        if children is None:
            children = (self._calls.labels(*key), self._seconds.labels(*key[:2]))
            self._kept[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


def redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes values of telling keys, and credentials inside texts, out of a log line."""
    for key, value in entry.items():
        if SECRET.search(key) and value:
            entry[key] = "***"
        elif isinstance(value, str):
            entry[key] = CREDENTIAL.sub("***", value)
    return entry


def start_log(level: str, *, color: bool = False) -> None:
    """Sets up structlog on standard error: one line an event."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=color, pad_event_to=0, sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
