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


class SessionUnknown(StreamledgerError):
    """no session has the sequence {sequence}"""

    exit_code = 4


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
    """no delivery is at position {position}, or the deliveries projection has not taken it in yet"""

    exit_code = 4


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
