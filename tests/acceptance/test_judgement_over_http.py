"""The judgement table row by row, with its status codes, and what each refusal leaves behind."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import TOKEN
from tests.acceptance.serving import (
    CALLBACKS,
    Answer,
    Service,
    data_directory,
    database_of,
    run,
    serving,
    signed_now,
)
from tests.deliveries import push_started, signed

NewSequence = Callable[[], str]
NOW_S = int(time.time())
BODY_BYTES_MAX = 256 * 1024


class Store:
    """What the quarantine and the counters hold."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._dsn, autocommit=True, options="-c search_path=streamledger") as connection:
            return connection.execute(sql).fetchall()  # type: ignore[call-overload]  # a test's own text

    def reasons(self) -> dict[str, int]:
        return dict(self.ask("SELECT reason, count(*) FROM quarantine GROUP BY reason"))

    def counted(self) -> dict[str, int]:
        return dict(self.ask("SELECT outcome, count FROM intake_counters"))


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Service, Store]]:
    """A service with small caps, so that they can be reached."""
    with (
        data_directory(made=True) as data_dir,
        serving(
            data_dir,
            callback_token=TOKEN,
            quarantine_refused_rows_max=8,
            quarantine_signed_rows_max=3,
        ) as service,
    ):
        yield service, Store(database_of(data_dir).dsn)


def assert_problem(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "position" not in answer.headers


def test_every_row_of_the_judgement_table(guarded: tuple[Service, Store], new_sequence: NewSequence) -> None:
    service, store = guarded

    def body() -> dict[str, Any]:
        return push_started("judged", new_sequence(), NOW_S)

    believed = service.deliver(body())
    assert (believed.status, believed.position is not None) == (200, True)

    expired = service.post(signed_now(body(), ahead_s=-1))
    far_ahead = service.post(signed_now(body(), ahead_s=1000))
    for answer in (expired, far_ahead):
        assert (answer.status, answer.body, answer.position) == (200, b'{"code":0}', None)
    assert store.reasons() == {"expired": 1, "too_far_ahead": 1}

    assert_problem(service.post(signed_now(body(), key="another-key")), 403)
    assert_problem(service.post(signed_now(body(), sign="")), 403)
    assert_problem(service.post(signed_now(body()).replace(b'"t":', b'"no":')), 403)
    assert_problem(service.post(signed_now(body()), f"{CALLBACKS}/wrong"), 404)
    assert_problem(service.post(b'{"event_type": 1,,}'), 400)
    assert_problem(service.post(signed_now({"stream_id": "judged"})), 400)
    assert store.reasons() == {
        "expired": 1,
        "too_far_ahead": 1,
        "bad_signature": 1,
        "unsigned": 2,
        "malformed": 2,
    }

    by_token = service.post(signed_now(body(), sign=""), f"{CALLBACKS}/{TOKEN}")
    assert (by_token.status, by_token.position is not None) == (200, True)
    # The token stands in for a signature that is absent, never for a wrong one.
    assert_problem(service.post(signed_now(body(), key="another-key"), f"{CALLBACKS}/{TOKEN}"), 403)


def test_the_bodies_of_refused_deliveries_are_kept_as_they_came(guarded: tuple[Service, Store]) -> None:
    service, store = guarded
    body = b"\xff\xfe not json \x00 at all"
    assert service.post(body).status == 400
    ((kept, source_ip, detail),) = store.ask(
        "SELECT body, source_ip, detail FROM quarantine ORDER BY received_at_us DESC LIMIT 1"
    )
    assert (bytes(kept), source_ip) == (body, "127.0.0.1")
    assert "expected a JSON object" in detail


def test_a_full_quarantine_goes_on_counting_and_never_acknowledges(
    guarded: tuple[Service, Store], new_sequence: NewSequence
) -> None:
    service, store = guarded
    before = store.counted()
    body = push_started("flood", new_sequence(), NOW_S)
    assert [service.post(signed_now(body, key="forged")).status for _ in range(12)] == [403] * 12
    assert sum(store.reasons()[reason] for reason in ("bad_signature", "unsigned", "malformed")) == 8
    late = [service.post(signed_now(body, ahead_s=-60 - number)) for number in range(4)]
    assert [answer.status for answer in late] == [200, 503, 503, 503]
    assert all("retry-after" in answer.headers for answer in late[1:])
    after = store.counted()
    assert after["received"] - before["received"] == 16
    assert after["refused:expired"] == 3
    believed = service.deliver(body)
    assert believed.status == 200
    assert sum(count for outcome, count in after.items() if outcome != "received") == after["received"]


def test_a_body_over_the_limit_is_counted_and_not_kept(guarded: tuple[Service, Store]) -> None:
    service, store = guarded
    kept = store.reasons()
    too_large = b'{"event_type":1,"x":"' + b"x" * BODY_BYTES_MAX + b'"}'
    assert_problem(service.post(too_large), 413)

    def chunks() -> Iterator[bytes]:
        for begin in range(0, len(too_large), 10_000):
            yield too_large[begin : begin + 10_000]

    connection = service.connect()
    connection.request("POST", CALLBACKS, body=chunks(), encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, response.getheader("content-type")) == (413, "application/problem+json")
    response.read()
    connection.close()

    filled = signed_now({"event_type": 777, "stream_id": "full", "x": ""})
    largest = filled.replace(b'"x":""', b'"x":"' + b"x" * (BODY_BYTES_MAX - len(filled)) + b'"')
    assert len(largest) == BODY_BYTES_MAX
    assert service.post(largest).status == 200
    assert store.reasons() == kept
    assert store.counted()["refused:body_too_large"] == 2


def test_another_method_on_the_path_of_the_callbacks_is_refused(service: Service) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        answer = service.request(method, CALLBACKS)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert_problem(service.request("GET", f"{CALLBACKS}/{TOKEN}"), 405)


def test_without_a_configured_token_every_path_token_is_wrong_and_without_keys_all_is_believed(
    new_sequence: NewSequence,
) -> None:
    with data_directory(made=True) as data_dir, serving(data_dir, callback_keys=None) as service:
        body = push_started("open", new_sequence(), NOW_S)
        assert service.post(signed(body, 1)).position is not None
        assert service.post(b'{"event_type":1,"stream_id":"open","sequence":"8"}').position is not None
        assert service.post(signed(body, 1), f"{CALLBACKS}/{TOKEN}").status == 404
        doctor = run("doctor", "--json", "--data-dir", str(data_dir), callback_keys=None)
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def test_each_of_several_keys_is_accepted_and_a_grace_lets_the_expired_in(new_sequence: NewSequence) -> None:
    with (
        data_directory(made=True) as data_dir,
        serving(data_dir, callback_keys="old:first-key,second-key", expiry_grace_s=30) as service,
    ):
        keys = []
        for key, ahead_s in (("first-key", 600), ("second-key", -20)):
            answer = service.post(signed_now(push_started("keys", new_sequence(), NOW_S), ahead_s, key=key))
            assert answer.position is not None
            keys += [service.read("/v1/events", after=answer.position - 1)["items"][0]["key"]]
        assert keys == ["old", "key2"]
        expired = signed_now(push_started("keys", new_sequence(), NOW_S), -40, key="first-key")
        assert service.post(expired).position is None


def test_queries_need_a_token_once_tokens_are_configured(new_sequence: NewSequence) -> None:
    with data_directory(made=True) as data_dir, serving(data_dir, api_tokens="page:read:letmesee") as service:
        answer = service.deliver(push_started("private", new_sequence(), NOW_S))
        assert answer.status == 200
        for path in ("/v1/sessions", "/v1/streams/private", "/v1/events", "/v1/projections"):
            refused = service.get(path)
            assert_problem(refused, 401)
            assert refused.headers["www-authenticate"].startswith("Bearer")
            assert service.request("GET", path, headers={"Authorization": "Bearer wrong"}).status == 401
            assert service.request("GET", path, headers={"Authorization": "Bearer letmesee"}).status in (
                200,
                404,
            )
        assert service.get("/health/ready").status == 200
        assert "letmesee" not in service.log.read_text()
