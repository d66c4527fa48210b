"""What answers say in English sentences, in the visitor's language: by their codes and facts.

The JSON interface is English; the pages find the words of a sentence by its code in the catalogue, and set
in the facts that stand beside it: nothing is read back out of a sentence.
"""

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, ValidationException

from streamledger.domain.answers import Anomaly, Stop
from streamledger.domain.errors import StreamledgerError
from streamledger.domain.forensic_words import in_words
from streamledger.domain.forensics import Evidence
from streamledger.domain.quarantine_answers import Fault
from streamledger.tencent.abnormal import ABNORMAL_NAMES
from streamledger.tencent.errcodes import ERRCODES
from streamledger.web.asking import fault_in_words
from streamledger.web.pages.words import Words


def anomaly_detail(t: Words, anomaly: Anomaly) -> str:
    """What an anomaly says."""
    facts = dict(anomaly.facts)
    if facts.get("at_least"):
        facts["count"] = t("anomaly_detail.at_least", count=facts["count"])
    return t(f"anomaly_detail.{anomaly.code}", **facts)


def stop_meaning(t: Words, stop: Stop) -> str:
    """What the errcode of a stop means."""
    if stop.errcode is None:
        return t("errcode.absent")
    return t(f"errcode.{stop.errcode}") if stop.errcode in ERRCODES else t("errcode.unknown")


def evidence(
    t: Words, found: Evidence, source_ip: str, first_position: int | None, first_ip: str | None
) -> str:
    """Why a delivery is classed as it is."""
    return in_words(
        found, source_ip, first_position, first_ip, lambda key, /, **facts: t(f"evidence.{key}", **facts)
    )


def abnormal(t: Words, number: int, name: str | None) -> str:
    """What a type of abnormal event is called; the sender's own name for those that have none here."""
    return t(f"abnormal.{number}") if number in ABNORMAL_NAMES else name or str(number)


def fault_detail(t: Words, fault: Fault | None) -> str:
    """Why a delivery could not be read, and where it goes wrong."""
    if fault is None:
        return "–"
    facts = {name: value for name, value in msgspec.structs.asdict(fault).items() if value is not None}
    expected, got = t(f"expected.{fault.expected}", **facts), t(f"got.{fault.got}", **facts)
    return t("problem.MalformedBody", field=t.named("fault_field", fault.field), expected=expected, got=got)


def problem(t: Words, error: StreamledgerError) -> str:
    """What went wrong."""
    key, facts = f"problem.{type(error).__name__}", error.facts
    if (code := facts.get("expects")) is not None:
        facts = {**facts, "expected": t(f"expected.{code}", **facts)}
    return t(key, **facts) if t.has(key) else str(error)


def http_problem(t: Words, request: Request[Any, Any, Any], error: HTTPException) -> str:
    """What the framework, or a guard of the pages, refused: by the guard's code, or by the status."""
    if t.has(f"status.{error.detail}"):
        return t(f"status.{error.detail}")
    said = [t.named("status", str(error.status_code))]
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        for fault in error.extra:
            told = {"got": t("common.none"), **fault_in_words(request, fault)}
            said.append(t("problem.ParameterInvalid", **told))
    return " ".join(said)
