"""What the HTTP edge says to what it does not know, and that `/schema` describes what there is."""

import re
import socket
from typing import Any

import pytest

from tests.acceptance.conftest import TOKEN
from tests.acceptance.serving import CALLBACKS, Answer, Service

PROBLEM = "application/problem+json"
HELD = "expected text and numbers that PostgreSQL can hold"


def assert_problem(answer: Answer, status: int, detail: str) -> dict[str, Any]:
    assert (answer.status, answer.headers["content-type"]) == (status, PROBLEM), answer
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert detail in problem["detail"], problem
    return problem


@pytest.mark.parametrize(
    "path", ["/nope", "/v1", "/v1/nope", "/v1/sessions/1/nope", "/schema/nope", f"{CALLBACKS}X", "/health"]
)
def test_an_unknown_path_is_a_problem_that_names_it(service: Service, path: str) -> None:
    assert_problem(service.get(path), 404, f"no such path: {path}")


def test_what_begins_like_the_path_of_the_callbacks_is_not_the_intake(service: Service) -> None:
    assert_problem(service.post(b"{}", f"{CALLBACKS}{TOKEN}"), 404, "no such path")


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/sessions?stat=live", "stat: expected one of the parameters cursor, limit"),
        ("/v1/projections?limit=5", "limit: expected one of the parameters min_position"),
        ("/v1/sessions?limit=0", "limit: expected int >= 1, got '0'"),
        ("/v1/sessions?limit=501", "limit: expected int <= 500, got '501'"),
        ("/v1/sessions?limit=many", "limit: expected int, got 'many'"),
        ("/v1/sessions?limit=1&limit=2", "limit: expected one value, got several"),
        ("/v1/sessions?state=ended&state=live", "state: expected one value, got several"),
        ("/v1/quarantine?released=null", "released: expected bool, got 'null'"),
        ("/v1/sessions?min_position=NULL", "min_position: expected int, got 'NULL'"),
        ("/v1/sessions?state=null", "state: expected one of live, suspect, ended, got 'null'"),
        ("/v1/parked?projection=nope", "projection: expected names among addresses, sessions"),
        ("/v1/sessions?state=over", "state: expected one of live, suspect, ended, got 'over'"),
        ("/v1/deliveries?class=odd", "class: expected one of first, retry"),
        ("/v1/events/live?kind=odd", "kind: expected one of push_started"),
        ("/v1/sessions?cursor=odd", "cursor: expected the next_cursor of a page of this list, got 'odd'"),
        ("/v1/deliveries/99999999999999999999", "position: expected int <= 9223372036854775807"),
        ("/v1/sessions?stream_id=%00", f"stream_id: {HELD}, got '\\x00'"),
        ("/v1/sessions?started_from=%00", "started_from: expected RFC 3339 with an offset"),
        ("/v1/deliveries?source_ip=1%00", f"source_ip: {HELD}, got '1\\x00'"),
        ("/v1/streams/%00", f"stream_id: {HELD}, got '\\x00'"),
        ("/v1/streams/a%00b/unattributed", f"stream_id: {HELD}, got 'a\\x00b'"),
        ("/v1/sessions/%00/timeline", f"sequence: {HELD}, got '\\x00'"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_with_what_was_expected_and_what_came(
    service: Service, path: str, detail: str
) -> None:
    assert_problem(service.get(path), 400, detail)


def test_every_text_that_cannot_be_asked_for_is_named(service: Service) -> None:
    """The facts of a query have the names of the parameters that they come from."""
    named: set[str] = set()
    for path, operations in service.read("/schema/openapi.json")["paths"].items():
        if "get" not in operations or path.endswith("/live"):
            continue
        for parameter in operations["get"].get("parameters", ()):
            name, where = parameter["name"], parameter["in"]
            if where == "header" or "string" not in str(parameter["schema"]):
                continue
            inside = {name: "a%00"} if where == "path" else {}
            url = re.sub(r"\{(\w+)\}", lambda found, inside=inside: inside.get(found[1], "1"), path)
            answer = service.get(url if inside else f"{url}?{name}=a%00")
            if answer.status != 404:
                assert_problem(answer, 400, f"{name}: expected ")
                named.add(name)
    assert named >= {"stream_id", "sequence", "source_ip", "key", "cursor"}


def test_so_is_one_of_a_page(service: Service) -> None:
    answer = service.request("GET", "/sessions?stream_id=a%00", headers={"accept": "text/html"})
    assert (answer.status, "stream_id: expected text" in answer.body.decode()) == (400, True), answer


def test_a_body_that_does_not_fit_is_named_with_what_was_expected(service: Service) -> None:
    path = "/v1/quarantine/01890000-0000-7000-8000-000000000000/release"
    for body, detail in (
        (b"", "body: expected a JSON object, got nothing"),
        (b"[]", "body: expected object, got array"),
        (b'{"reason":5}', "reason: expected str, got int"),
        (b'{"reason":"x","odd":1}', "object contains unknown field odd"),
        (b"no json", "JSON is malformed"),
    ):
        assert_problem(service.post(body, path), 400, detail)


def test_a_method_that_a_path_does_not_know_is_a_problem_that_names_those_it_knows(service: Service) -> None:
    answer = service.request("DELETE", "/v1/sessions")
    assert_problem(answer, 405, "GET")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    options = service.request("OPTIONS", "/v1/sessions")
    assert options.headers["allow"] == answer.headers["allow"]
    assert answer.headers["allow"] in answer.json()["detail"]
    assert "HEAD" not in service.request("GET", "/v1/projections/rebuild").headers["allow"]


def test_the_facts_of_a_problem_keep_their_types(service: Service) -> None:
    problem = assert_problem(service.get("/v1/deliveries/999999999"), 404, "999999999")
    assert problem["position"] == 999999999
    assert assert_problem(service.get("/v1/sessions/404"), 404, "404")["sequence"] == "404"


def test_what_is_no_http_is_a_problem_too(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"BREW /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n")
        said = connection.makefile("rb").read()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert f"content-type: {PROBLEM}\r\n".encode() in said
    assert b'"status":400' in said


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/sessions", 200), ("/health/live", 200), ("/", 200), ("/v1/sessions/404", 404), ("/nope", 404)],
)
def test_head_is_answered_like_get_without_the_body(service: Service, path: str, status: int) -> None:
    head, got = service.request("HEAD", path), service.get(path)
    assert (head.status, head.body) == (status, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_of_a_feed_that_never_ends_ends(service: Service) -> None:
    answer = service.request("HEAD", "/v1/events/live")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_the_cursor_of_the_events_walks_them_all(service: Service) -> None:
    for number in range(3):
        service.deliver({"event_type": 900 + number, "stream_id": "walked-events"})
    walked = [event["position"] for page in service.pages("/v1/events", limit=2) for event in page]
    assert walked == sorted(set(walked))
    assert walked[-1] >= service.last_position


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_schema_describes_the_intake_and_the_problems_of_every_call(service: Service) -> None:
    document = service.get("/schema").json()
    assert document["openapi"].startswith("3.1")
    for path in (CALLBACKS, CALLBACKS + "/{token}"):
        responses = document["paths"][path]["post"]["responses"]
        assert set(responses) == {"200", "400", "403", "404", "408", "413", "429", "503"}
        assert "Streamledger-Position" in responses["200"]["headers"]
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == [PROBLEM], (path, method, status)
        if path.startswith("/v1/"):
            assert {"400", "401", "503"} <= set(operation["responses"]), path
        declared = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))


def test_every_reference_in_the_schema_leads_somewhere(service: Service) -> None:
    text = service.get("/schema").body.decode()
    document = service.get("/schema").json()
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert len(references) > 10
    assert references <= set(document["components"]["schemas"])
