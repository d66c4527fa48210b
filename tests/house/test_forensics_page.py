"""docs/forensics.md names every class, reason, field of the evidence and schedule that the code has."""

import msgspec

from streamledger.domain.forensics import REASONS, DeliveryClass, Evidence
from streamledger.domain.kinds import EVENT_TYPE_BY_NUMBER, PRESUMED_SCHEDULES
from tests.house.rooms import ROOT

PAGE = (ROOT / "docs" / "forensics.md").read_text("utf-8")


def test_every_class_has_a_line() -> None:
    assert [name for name in DeliveryClass if f"\n| `{name.value}` |" not in PAGE] == []


def test_every_reason_and_every_field_of_the_evidence_is_named() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(Evidence)}
    assert [name for name in sorted(fields | REASONS.keys()) if f"`{name}`" not in PAGE] == []


def test_every_schedule_is_named() -> None:
    documented = {schedule for entry in EVENT_TYPE_BY_NUMBER.values() for schedule in entry.schedules}
    for schedule in (*documented, *PRESUMED_SCHEDULES):
        numbers = f"| {schedule.retries}, {schedule.interval_s} s apart |"
        lines = [line for line in PAGE.splitlines() if line.startswith(f"| {schedule.era} |")]
        assert any(line.endswith(numbers) for line in lines), schedule
