"""The other end of `server.kernel.workers`: what a worker process does before it meets bytes from outside. Light to import."""

import os
import resource
import signal
from typing import BinaryIO, Final

LENGTH_BYTES: Final = 4
_OPEN_FILES: Final = 64


def open_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Where jobs come from and answers go. What a library prints goes nowhere, since it must not stand between answers; Ctrl-C
    reaches the whole group, and the program that started us decides what becomes of us."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return jobs, answers


def confine(memory_bytes: int, *, niceness: int = 0) -> None:
    """From here on: so much memory, no files written, few files open, behind whoever answers people."""
    os.nice(niceness)
    for what, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(what, (limit, limit))


def read_head(jobs: BinaryIO) -> bytes | None:
    """The next job's head; None at the end of the input."""
    length = jobs.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    return jobs.read(int.from_bytes(length, "big"))


def write_answer(answers: BinaryIO, head: bytes, *contents: bytes) -> None:
    """An answer's head, and the contents whose sizes it gives."""
    answers.write(len(head).to_bytes(LENGTH_BYTES, "big") + head)
    for content in contents:
        answers.write(content)
    answers.flush()
