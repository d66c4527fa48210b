"""Evidence in words: one line that a person can read, for the audit and the page."""

from streamledger.domain.forensics import REASONS, Evidence, Grid


def in_words(evidence: Evidence, source_ip: str, first_position: int | None, first_ip: str | None) -> str:
    """One line on why a delivery is classed as it is; the codes alone are in the evidence itself."""
    parts = []
    if evidence.since_first_s is not None and first_position is not None:
        since = span(abs(evidence.since_first_s))
        direction = "after" if evidence.since_first_s >= 0 else "before"
        parts.append(f"{since} {direction} the first, position {first_position}")
    parts += [
        _reason(code, evidence, source_ip, first_ip)
        for code in evidence.because
        if code != "signed_early"  # told below, with how long
    ]
    if evidence.differs:
        parts.append(f"differs in {', '.join(evidence.differs)}")
    if evidence.same_as is not None:
        parts.append(f"as position {evidence.same_as} said before")
    if evidence.bytes == "same":
        parts.append("the same bytes")
    elif evidence.t is not None:
        words = {"same": "with the t of the first", "renewed": "with a new t", "older": "with an older t"}
        parts.append(words.get(evidence.t, "without t"))
    if evidence.key is not None:
        parts.append(f"signed with the key {evidence.key}, not the first's")
    if evidence.signed_after_s is not None and evidence.signed_after_s < 0:
        parts.append(f"signed {span(-evidence.signed_after_s)} before what it reports")
    return "; ".join(parts)


def span(seconds: float) -> str:
    """`0.4 s`, `59 s`, `12 min 5 s`, `1 h`, `3 d 2 h`: two units at most."""
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    rest = round(seconds)
    if rest < 60:
        return f"{rest} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    counted = []
    for size, name in units:
        count, rest = divmod(rest, size)
        counted.append((count, name))
    begin = next(place for place, (count, _) in enumerate(counted) if count)
    return " ".join(f"{count} {name}" for count, name in counted[begin : begin + 2] if count)


def _reason(code: str, evidence: Evidence, source_ip: str, first_ip: str | None) -> str:
    if code == "other_address":
        return f"from {source_ip or 'an unknown address'}, the first came from {first_ip or 'another one'}"
    if code == "after_t" and evidence.late_s is not None:
        return f"its t had passed {span(evidence.late_s)} before"
    grid = evidence.grid
    if grid is not None and code == "on_schedule":
        return f"retry {grid.retry} of {_schedule(grid)}"
    if grid is not None and code == "off_schedule":
        return f"{REASONS[code]}; the nearest is {_schedule(grid)}"
    return REASONS.get(code, code)


def _schedule(grid: Grid) -> str:
    off = f"{span(abs(grid.distance_s))} {'early' if grid.distance_s < 0 else 'late'}"
    return f"the {grid.interval_s} s schedule ({grid.era}), {off}"
