"""The root of every error of streamledger, and the leaves that more than one room raises.

A leaf's docstring is its message, with the facts it carries in braces; the edges
(`web.problems`, `cli.main`) translate leaves to status codes and exit codes.
"""

from typing import ClassVar


class StreamledgerError(Exception):
    """streamledger could not do what was asked"""

    exit_code: ClassVar[int] = 1
    """What the command line exits with when this error ends it."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        template = " ".join((type(self).__doc__ or "").split())
        super().__init__(template.format(**facts))


class SettingInvalid(StreamledgerError):
    """setting {name}: expected {expected}, got {got}"""

    exit_code = 2


class MalformedBody(StreamledgerError):
    """the body cannot be read as a notification: {field}: expected {expected}, got {got}"""

    # Of its facts, `fault` says the same in codes: what was expected, what was found, and where.


class SessionUnknown(StreamledgerError):
    """no session has the sequence {sequence}"""

    exit_code = 4

    @classmethod
    def of(cls, sequence: str, stream_id: str | None) -> "SessionUnknown":
        """The error for what was asked: of one stream, another may have the sequence."""
        if stream_id is None:
            return cls(sequence=sequence)
        return SessionUnknownThere(sequence=sequence, stream_id=stream_id)


class SessionUnknownThere(SessionUnknown):
    """no session of the stream {stream_id} has the sequence {sequence}"""


class SessionUnknownThen(StreamledgerError):
    """the session {sequence} was not known at the moment asked for: {moment}"""

    exit_code = 4


class SessionAmbiguous(StreamledgerError):
    """the sequence {sequence} appears under several streams ({streams}); name one with stream_id"""

    exit_code = 4


class StreamUnknown(StreamledgerError):
    """no notification names the stream {stream_id}"""

    exit_code = 4


class DeliveryUnknown(StreamledgerError):
    """no delivery is at position {position}, or the read model has not taken it in yet"""

    exit_code = 4


class EventNotShown(StreamledgerError):
    """the event at position {position}, stored as {name}, cannot be read: {cause}"""


class CursorInvalid(StreamledgerError):
    """cursor: expected the next_cursor of a page of this list, got {got}"""

    exit_code = 2


class PositionNotReached(StreamledgerError):
    """the read model is at position {position} and did not reach {min_position} within {waited_s} s"""


class StoreUnavailable(StreamledgerError):
    """the store cannot be reached: {cause}"""

    exit_code = 3


class ParameterInvalid(StreamledgerError):
    """{name}: expected {expected}, got {got}"""

    exit_code = 2


class UnsafeCombination(StreamledgerError):
    """refusing to listen on {host}, which others can reach, without {missing}; set it, or give --insecure"""

    exit_code = 2
