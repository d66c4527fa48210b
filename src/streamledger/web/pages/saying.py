"""What answers say in English sentences, in the visitor's language: by their codes and the facts in them.

The JSON interface is English; the pages find the words of a sentence by its code in the catalogue. Facts
that an answer has only inside a sentence are read back out of it by the template it was made with.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from string import Formatter
from typing import Any, Final

from litestar import Request
from litestar.exceptions import HTTPException, ValidationException

from streamledger.domain.anomalies import DETAILS, AnomalyCode
from streamledger.domain.answers import Anomaly, Stop
from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.forensic_words import in_words
from streamledger.domain.forensics import Evidence
from streamledger.tencent.abnormal import ABNORMAL_NAMES
from streamledger.tencent.errcodes import ERRCODES
from streamledger.web.asking import fault_in_words
from streamledger.web.pages.words import Words

_EXPECTED: Final = {"json_object": "a JSON object", "integer": "an integer from {least} to {most}"}
_MALFORMED: Final = " ".join((MalformedBody.__doc__ or "").split())


def facts_in(template: str, text: str) -> Mapping[str, str] | None:
    """The facts that were set into a template to give a text; None when it is none of it."""
    found = _pattern(template).fullmatch(text)
    return None if found is None else found.groupdict()


@lru_cache(maxsize=64)
def _pattern(template: str) -> re.Pattern[str]:
    parts = [
        re.escape(literal) + (f"(?P<{name}>.*?)" if name else "")
        for literal, name, _, _ in Formatter().parse(template)
    ]
    return re.compile("".join(parts), re.DOTALL)


def anomaly_detail(t: Words, anomaly: Anomaly) -> str:
    """What an anomaly says."""
    facts = facts_in(DETAILS[AnomalyCode(anomaly.code)], anomaly.detail)
    return anomaly.detail if facts is None else t(f"anomaly_detail.{anomaly.code}", **facts)


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


def set_aside_detail(t: Words, detail: str | None) -> str:
    """Why a delivery could not be read."""
    if detail is None:
        return "–"
    facts = facts_in(_MALFORMED, detail)
    if facts is None:
        return detail
    return t("problem.MalformedBody", **{**facts, "expected": _expected(t, facts["expected"])})


def _expected(t: Words, text: str) -> str:
    """What a body that cannot be read should have been: one of the forms that the readers name."""
    for key, template in _EXPECTED.items():
        if (facts := facts_in(template, text)) is not None:
            return t(f"expected.{key}", **facts)
    return text


def problem(t: Words, error: StreamledgerError) -> str:
    """What went wrong."""
    key = f"problem.{type(error).__name__}"
    return t(key, **error.facts) if t.has(key) else str(error)


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
