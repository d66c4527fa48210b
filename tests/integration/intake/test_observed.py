"""By setting each delivery is told of: by a line in the log with its id, by a span for a collector."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from streamledger.domain.errors import SettingInvalid
from streamledger.operations import tracing
from streamledger.operations.observe import ObservedReceiver
from streamledger.postgres.connection import Database, connect
from streamledger.telemetry import JsonFormatter
from tests.integration.intake.receiver import NOW_S, Running, clock, push, running, signed

__all__ = ["clock"]

TELLING = "streamledger.operations.observe"


async def deliver_three(receiver: Running) -> None:
    """A start that is believed, one that has expired, and a forgery."""
    await receiver.deliver(signed(push(1, NOW_S), NOW_S + 600))
    await receiver.deliver(signed(push(1, NOW_S, sequence="7"), NOW_S - 1))
    await receiver.deliver(signed(push(1, NOW_S, sequence="8"), NOW_S + 600, key="stolen"))


def ids_kept(database: Database) -> list[str]:
    with connect(database, application_name="test") as connection:
        kept = connection.execute(
            "SELECT delivery_id FROM ledger_events UNION ALL"
            " (SELECT id FROM quarantine ORDER BY reason = 'bad_signature')"
        )
        return [str(each[0]) for each in kept]


@pytest.mark.usefixtures("clock")
def test_a_line_of_json_names_each_delivery_by_its_id(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def deliver() -> None:
        async with running(database, log_deliveries=True) as receiver:
            await deliver_three(receiver)

    with caplog.at_level(logging.INFO, TELLING):
        asyncio.run(deliver())
    told = [json.loads(JsonFormatter().format(each)) for each in caplog.records if each.name == TELLING]
    assert [each["outcome"] for each in told] == ["stored", "set_aside", "refused"]
    assert [each["delivery_id"] for each in told] == ids_kept(database)
    assert (told[0]["position"], told[1]["reason"], told[0]["source_ip"]) == (1, "expired", "203.0.113.10")
    assert told[2]["level"] == "info"
    assert f"delivery_id={told[2]['delivery_id']}" in told[2]["message"]


class Collector(BaseHTTPRequestHandler):
    taken: list[bytes]

    def do_POST(self) -> None:
        self.taken.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The address of an OpenTelemetry collector, and what it has taken."""
    taken: list[bytes] = []
    handler = type("Taking", (Collector,), {"taken": taken})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", taken
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("clock")
async def test_a_collector_takes_a_span_of_each_delivery(
    database: Database, collector: tuple[str, list[bytes]]
) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    url, taken = collector
    async with running(database, traces_url=url) as receiver:
        await deliver_three(receiver)
    spans = [
        span
        for body in taken
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    told = [{each.key: each.value.string_value for each in span.attributes} for span in spans]
    assert [each["streamledger.outcome"] for each in told] == ["stored", "set_aside", "refused"]
    assert [each["streamledger.delivery_id"] for each in told] == ids_kept(database)
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in spans)


def test_by_default_nothing_is_observed_and_no_tracing_is_loaded() -> None:
    asked = (
        "import sys; from streamledger.operations import tracing; from streamledger.settings import Settings;"
        "print(tracing.observers_of(Settings())[0], [each for each in sys.modules if 'telemetry' in each])"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[] ['streamledger.telemetry']"


@pytest.mark.usefixtures("clock")
async def test_the_hot_path_is_the_plain_receiver_by_default(database: Database) -> None:
    async with running(database) as receiver:
        assert not issubclass(type(vars(receiver.litestar.state.callbacks)["_receiver"]), ObservedReceiver)


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingInvalid, match=r"pip install 'streamledger\[otel\]'"):
        tracing.require_package()
