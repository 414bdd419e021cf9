"""Types that settings are made of: durations and rates as operators write them."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer
from pydantic_settings import NoDecode

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"^(\d+)(ms|s|m|h|d)$")
_RATE: Final = re.compile(r"^(\d+)/(\d*)(ms|s|m|h|d)$")


def parse_duration(text: str) -> timedelta:
    """`48h`, `30m`, `10s`, `500ms`, `7d`. Raises ValueError for anything else."""
    found = _DURATION.match(text.strip())
    if not found:
        raise ValueError("a duration reads like 48h, 30m, 10s or 500ms")
    return timedelta(milliseconds=int(found[1]) * _UNITS[found[2]])


def duration_text(value: timedelta) -> str:
    """The shortest way to write a duration: the largest unit that divides it."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % _UNITS[unit] == 0:
            return f"{milliseconds // _UNITS[unit]}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `per`."""

    count: int
    per: timedelta

    def __str__(self) -> str:
        return f"{self.count}/{duration_text(self.per)}"


def parse_rate(text: str) -> Rate:
    """`20/s`, `5/10m`. Raises ValueError for anything else, and for a rate of nothing."""
    found = _RATE.match(text.strip())
    if not found or int(found[1]) == 0 or found[2] == "0":
        raise ValueError("a rate reads like 20/s or 5/10m")
    return Rate(int(found[1]), timedelta(milliseconds=int(found[2] or 1) * _UNITS[found[3]]))


_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY: Final = re.compile(r"(://[^?#\s]*\?)[^#\s]+")


def without_credentials(text: str) -> str:
    """The same text; of addresses in it, user names, passwords and what follows the question mark are left out."""
    return _QUERY.sub(r"\1(hidden)", _USER_INFO.sub("(hidden)@", text))


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _positive(value: Any) -> Any:
    parsed = _duration(value)
    if isinstance(parsed, timedelta) and parsed <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return parsed


def _rate(value: Any) -> Any:
    return parse_rate(value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(duration_text)]
PositiveDuration = Annotated[timedelta, BeforeValidator(_positive), PlainSerializer(duration_text)]
RateSetting = Annotated[Rate, NoDecode, BeforeValidator(_rate), PlainSerializer(str)]
"""`NoDecode`: the text of the environment is a rate, not JSON of one."""
