"""What README, changelog, documents and locks must agree on, with each other and with the code."""

import re
import tomllib
from collections.abc import Callable

README_LINES_MAX = 150

_FENCE = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
_RELEASE = re.compile(r"(?P<version>\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$")
_KINDS_OF_CHANGE = frozenset({"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"})
_SETTING = re.compile(r"\bSTREAMLEDGER_[A-Z][A-Z0-9_]*\b")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOCKED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9-]*)==", re.MULTILINE)


def dead_links(markdown: str, exists: Callable[[str], bool]) -> list[str]:
    """Targets of relative links for which `exists` is false; what stands in code blocks is no link."""
    targets = (found["target"] for found in _LINK.finditer(_FENCE.sub("", markdown)))
    relative = (target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target))
    return [target for target in relative if target and not exists(target)]


def changelog_faults(text: str, version: str) -> list[str]:
    """What keeps a changelog from the form of Keep a Changelog 1.1.0, or from naming this version.

    While a section [Unreleased] stands, `version` may be the one that is being worked on.
    """
    faults = []
    if not text.startswith("# Changelog\n"):
        faults.append("title: expected '# Changelog'")
    headings = re.findall(r"^## \[?(.*)$", text, re.MULTILINE)
    released = [found["version"] for heading in headings if (found := _RELEASE.fullmatch(heading))]
    faults.extend(
        f"section {heading!r}: expected '[Unreleased]' or '[1.2.3] - 2026-11-24'"
        for heading in headings
        if heading != "Unreleased]" and not _RELEASE.fullmatch(heading)
    )
    faults.extend(
        f"kind of change {kind!r}: expected one of {', '.join(sorted(_KINDS_OF_CHANGE))}"
        for kind in re.findall(r"^### (.*)$", text, re.MULTILINE)
        if kind not in _KINDS_OF_CHANGE
    )
    if "Unreleased]" in headings[1:]:
        faults.append("[Unreleased] is not the first section")
    if version not in released and "Unreleased]" not in headings:
        faults.append(f"neither version {version} nor [Unreleased] has a section")
    return faults


def setting_differences(markdown: str, fields: list[str]) -> list[str]:
    """Settings that the document or the code names and the other does not."""
    documented = set(_SETTING.findall(markdown))
    known = {f"STREAMLEDGER_{field.upper()}" for field in fields}
    return [f"not documented: {name}" for name in sorted(known - documented)] + [
        f"no such setting: {name}" for name in sorted(documented - known)
    ]


def requirements_of(pyproject: str, *, groups: tuple[str, ...]) -> set[str]:
    """Names, as registries normalise them, of the packages that pyproject.toml asks for by itself."""
    project = tomllib.loads(pyproject)
    asked: list[str] = [*project["project"]["dependencies"]]
    for group in groups:
        asked.extend(project["dependency-groups"][group])
    names = (found[0] for text in asked if (found := _REQUIREMENT.match(text)))
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def lock_faults(lock: str, needed: set[str]) -> list[str]:
    """A package that is asked for and not locked, one without a hash, or a place that is not everyone's."""
    faults = [f"not locked: {name}" for name in sorted(needed - set(_LOCKED.findall(lock)))]
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        if "--hash=sha256:" not in entry:
            faults.append(f"no hash: {entry.splitlines()[0]}")
    faults.extend(
        f"names a place: {line.strip()}" for line in lock.splitlines() if re.search(r"://|^-| @ |# via", line)
    )
    return faults
