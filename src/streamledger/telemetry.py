"""Logs: one line each on standard error, in UTC, with no secret in them; text, or JSON by setting."""

import json
import logging
import time
from typing import Any, Final

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"
AT: Final = "%Y-%m-%dT%H:%M:%S"
_FACTS: Final = "facts"


def facts(told: dict[str, Any]) -> dict[str, Any]:
    """`extra` of a line in the log: members of its JSON."""
    return {_FACTS: told}


class JsonFormatter(logging.Formatter):
    """A JSON object a line: at, level, logger, message, and what the line is told beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "at": f"{self.formatTime(record, AT)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FACTS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(level: str, form: str = "text") -> None:
    """Set logging up for a process. The eventsourcing library must have been imported before."""
    formatter = JsonFormatter() if form == "json" else logging.Formatter(FORMAT, datefmt=AT)
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "urllib3", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A pool tells its every move; of a lost connection and its return the appender tells, once each.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
