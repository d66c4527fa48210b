"""Every GET that the OpenAPI document describes, with every parameter made nasty: never a 5xx."""

import itertools
import time
from collections.abc import Iterator
from urllib.parse import quote

from tests.acceptance.serving import Service
from tests.deliveries import push_started

NASTY = [
    "",
    "%20",
    "%00",
    "a%00b",
    "%FF%FE",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "-1",
    "0",
    "1e999",
    "9223372036854775808",
    "9" * 3000,
    "NaN",
    "null",
    "true",
    "x" * 3000,
    quote("' OR 1=1 --"),
    quote("../../etc/passwd", safe=""),
    quote("{0} %s %(x)s"),
    "2025-11-24T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59%2B00:00",
    "99999-01-01T00:00:00Z",
]
KNOWN = {"sequence": "2210464508206756938", "stream_id": "walked", "position": "1"}
ENDLESS = ("/v1/events/live", "/v1/rebuilds/{rebuild_id}/live")
"""Answers that go on for ever; they have tests of their own."""


def requests(described: dict[str, dict[str, dict[str, object]]]) -> Iterator[tuple[str, str]]:
    """Templates of the document, with a path of each that is asked for."""
    for template, methods in described.items():
        if "get" not in methods or template.startswith(ENDLESS):
            continue
        parameters = methods["get"].get("parameters", [])
        assert isinstance(parameters, list)
        in_path = [each["name"] for each in parameters if each["in"] == "path"]
        in_query = [each["name"] for each in parameters if each["in"] == "query"]
        good = template
        for name in in_path:
            good = good.replace("{" + name + "}", KNOWN.get(name, "1"))
        yield template, good
        for name, value in itertools.product(in_path, NASTY):
            path = template.replace("{" + name + "}", value)
            for other in in_path:
                path = path.replace("{" + other + "}", KNOWN.get(other, "1"))
            yield template, path
        for name, value in itertools.product(in_query, NASTY):
            yield template, f"{good}?{name}={value}"
            yield template, f"{good}?{name}={value}&{name}={value}"


def test_no_parameter_of_any_query_makes_the_server_fail(service: Service) -> None:
    service.deliver(push_started(KNOWN["stream_id"], KNOWN["sequence"], int(time.time())))
    service.read(f"/v1/sessions/{KNOWN['sequence']}", stream_id=KNOWN["stream_id"])
    connection = service.connect()
    described = service.get("/schema").json()["paths"]
    asked, failed, undescribed = 0, [], []
    for template, path in requests(described):
        answer = service.request("GET", path, connection=connection)
        asked += 1
        if answer.status >= 500:
            failed.append((path[:120], answer.status, answer.body[:200]))
        if str(answer.status) not in described[template]["get"]["responses"] and "no such path" not in str(
            answer.body
        ):
            undescribed.append((path[:120], answer.status, answer.body[:200]))
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json", (path, answer)
    connection.close()
    assert failed == []
    assert undescribed == []
    assert asked > 500
