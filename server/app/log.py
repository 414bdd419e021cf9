"""Structured logs: one JSON object a line on standard error. Ids and codes only; never what people wrote or are called.

An exception is shown by its type and where it was raised. What it says is left out, since that may be anything: a validation
error repeats what was sent, a duplicate key what was stored.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Final

import orjson
import structlog

from server.kernel.errors import DomainError

_MOST_CAUSES: Final = 10
_MOST_FRAMES: Final = 30
_TALKERS: Final = ("asyncio", "aiohttp")
"""Libraries whose messages hold what they failed at: only what they always say is kept of them."""


def configure_logging(level: str, *, process: str) -> None:
    """Send structlog and the standard library's loggers to standard error as lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _describe_exception,
            structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str).decode()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Discreet("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def describe(error: BaseException | None) -> str:
    """Types and places of an exception and of what caused it, the last one first."""
    lines: list[str] = []
    for _ in range(_MOST_CAUSES):
        if error is None:
            break
        code = f" {error.code}" if isinstance(error, DomainError) else ""
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}{code}")
        frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        if isinstance(error, BaseExceptionGroup):
            lines += [f"  of {type(each).__module__}.{type(each).__qualname__}" for each in error.exceptions]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)


def _describe_exception(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    given = event.pop("exc_info", None)
    if isinstance(given, tuple):
        given = given[1]
    elif given is not None and not isinstance(given, BaseException):
        given = sys.exc_info()[1] if given else None
    if given is not None:
        event["exception"] = describe(given)
    return event


class _Discreet(logging.Formatter):
    """The same for the standard library's loggers."""

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return describe(ei[1])

    def format(self, record: logging.LogRecord) -> str:
        if record.name.split(".")[0] in _TALKERS:
            record = logging.makeLogRecord({**record.__dict__, "msg": str(record.msg).partition("\n")[0], "args": None})
        return super().format(record)
