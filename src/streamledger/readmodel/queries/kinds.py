"""Kinds as lists in SQL, from the table of kinds; partial indexes name some of them literally."""

from collections.abc import Collection
from typing import Final

from streamledger.domain.kinds import ATTRIBUTED_KINDS, KINDS, SEQUENCED_KINDS, Group, kinds_in
from streamledger.domain.notification import Kind


def sql_list(kinds: Collection[Kind]) -> str:
    """These kinds as literals, in the order of the table."""
    return ", ".join(f"'{row.kind.value}'" for row in KINDS if row.kind in kinds)


MEDIA_KINDS: Final = frozenset(kinds_in(Group.RECORDINGS, Group.SCREENSHOTS))
MEDIA: Final = sql_list(MEDIA_KINDS)
ATTRIBUTED: Final = sql_list(ATTRIBUTED_KINDS)
SEQUENCED: Final = sql_list(SEQUENCED_KINDS)
UNPLACED: Final = sql_list(set(Kind) - ATTRIBUTED_KINDS - SEQUENCED_KINDS)
"""What is shown with its stream, by no session."""
PUSHES: Final = sql_list(kinds_in(Group.PUSHES))
REPORTS: Final = sql_list(ATTRIBUTED_KINDS - MEDIA_KINDS)
"""What is said of a recording, by time as the recording itself."""
MOMENTS: Final = sql_list(ATTRIBUTED_KINDS - {Kind.RECORDING})
"""Attributed kinds that have a time and no length."""
