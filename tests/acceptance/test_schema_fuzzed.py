"""Schemathesis over `/schema`: no 5xx, and no difference between what it says and what is done."""

import os
import random
import time
from collections.abc import Iterator
from typing import Any, Final

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from streamledger.domain.instants import parse_instant_ms
from tests.acceptance.serving import Service, data_directory, serving, signed_now
from tests.conftest import SEED_VARIABLE
from tests.deliveries import push_started, push_stopped, screenshot
from tests.drills.drill import LONG

EXAMPLES: Final = 200 if LONG else 4
"""Of each operation, in each mode."""
ENDLESS: Final = ("/v1/events/live", "/v1/rebuilds/{rebuild_id}/live")
REFUSALS: Final = [400, 401, 403, 404, 405, 406, 409, 413, 415, 429, 431]
NOT_TO_BE_MADE_UP: Final = {
    "cursor": None,  # only what a page of the same list gave
    "from": "/v1/audit",  # 1 to 400 days from one to the other
    "to": "/v1/audit",
}
"""Parameters that a schema has no word for, everywhere or on one path: left out of valid ones."""
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Service]:
    now_s = int(time.time())
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        for number in range(5):
            service.deliver(push_started("room", str(100 + number), now_s - 100))
        service.deliver(screenshot("room", now_s - 30))
        service.deliver(push_stopped("room", "101", now_s, push_duration="60000"))
        service.post(signed_now(push_started("room", "9", now_s), ahead_s=-5))
        yield service


def as_one_may(case: Any) -> None:
    """Takes out of a valid case what may be refused for what a schema cannot say."""
    for name, path in NOT_TO_BE_MADE_UP.items():
        if path in (None, case.path):
            case.query.pop(name, None)
    if "min_position" in case.query:
        case.query["min_position"] = min(int(case.query["min_position"]), 5)  # later ones are waited for
    if "as_of" in case.query and parse_instant_ms(str(case.query["as_of"])) > time.time() * 1000:
        del case.query["as_of"]  # a time that has come
    if not isinstance(case.body, dict):
        return
    if case.path == "/v1/projections/rebuild":
        case.body.pop("to", None)  # a position that is there
        case.body["dry_run"] = True
    if case.path == "/v1/quarantine/release":
        case.body.pop("verify_with", None)  # the name of a key
        case.body["filter"] = {"reason": "expired"}  # one of its fields at least


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_what_the_schema_says_is_what_is_done(fuzzed: Service, mode: GenerationMode) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(2**32))
    print("seed", seed)  # noqa: T201  # repeats this run
    schema = schemathesis.openapi.from_dict(fuzzed.get("/schema/openapi.json").json())
    schema.config.checks.negative_data_rejection.expected_statuses = [*map(str, REFUSALS), "5XX"]
    differences: dict[tuple[str, str, str], str] = {}
    tried: set[str] = set()
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in ENDLESS:
                continue
            cases = operation.as_strategy(generation_mode=mode)

            @hypothesis.seed(seed)
            @hypothesis.settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            @given(case=cases)
            def hold(case: Any) -> None:
                if mode is GenerationMode.POSITIVE:
                    as_one_may(case)
                tried.add(case.path)
                try:
                    case.call_and_validate(base_url=fuzzed.url, session=session, timeout=30)
                except FailureGroup as failures:
                    for each in failures.exceptions:
                        key = (case.method, case.path, type(each).__name__)
                        differences.setdefault(key, f"{each} {case.as_curl_command()[:500]}")

            try:
                hold()
            except hypothesis.errors.Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.path  # where nothing can be wrong
    assert differences == {}
    assert len(tried) > 20


def test_another_method_is_refused_and_those_that_are_taken_are_named(fuzzed: Service) -> None:
    for path, operations in fuzzed.get("/schema/openapi.json").json()["paths"].items():
        taken = {method.upper() for method in operations}
        for method in set(METHODS) - taken:
            answer = fuzzed.request(method, path.replace("{", "").replace("}", ""))
            assert (answer.status, answer.headers["content-type"]) == (405, "application/problem+json")
            assert taken <= set(answer.headers["allow"].split(", ")), (method, path)
