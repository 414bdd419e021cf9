"""What the processes log when something fails, in a process of its own: logging is set up once and for good."""

import json
import subprocess
import sys
import textwrap

WORDS = "王小明 13800000001"


def _said(body: str) -> list[str]:
    """Lines on standard error of a process that sets logging up and then does this; its words never leave it."""
    script = "import structlog, logging, asyncio\nfrom server.app.log import configure_logging\nWORDS = " + repr(WORDS)
    script += "\nconfigure_logging('info', process='test')\nlog = structlog.get_logger('x')\n" + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert "13800000001" not in done.stderr + done.stdout
    assert "王小明" not in done.stderr + done.stdout
    return done.stderr.splitlines()


def test_an_exception_is_logged_by_type_and_place_and_never_by_what_it_says() -> None:
    lines = _said("""
        def inner():
            raise ValueError(WORDS)
        try:
            try:
                inner()
            except ValueError as error:
                raise RuntimeError(WORDS) from error
        except RuntimeError as failure:
            log.error("a.failed", exc_info=failure)
            log.exception("b.failed")
    """)
    rows = [json.loads(line) for line in lines]
    assert [(row["event"], row["level"], row["process"]) for row in rows] == [
        ("a.failed", "error", "test"),
        ("b.failed", "error", "test"),
    ]
    for row in rows:
        assert "ValueError" in row["exception"]
        assert "RuntimeError" in row["exception"]
        assert "in inner" in row["exception"]


def test_the_code_of_an_error_of_ours_is_told() -> None:
    (line,) = _said("""
        from server.kernel.errors import Unavailable
        log.warning("a.failed", exc_info=Unavailable())
    """)
    assert "service.unavailable" in json.loads(line)["exception"]


def test_a_task_that_nobody_asked_and_a_library_that_talks_say_no_words_either() -> None:
    lines = _said("""
        async def fail():
            raise ValueError(WORDS)

        async def main():
            task = asyncio.create_task(fail())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            del task
            import gc; gc.collect()

        asyncio.run(main())
        try:
            raise ValueError(WORDS)
        except ValueError:
            logging.getLogger("aiohttp.server").exception("Error handling request from %s", WORDS)
            logging.getLogger("somebody").exception("it failed")
    """)
    said = "\n".join(lines)
    assert "Task exception was never retrieved" in said
    assert "Error handling request" in said
    assert "it failed" in said
    assert said.count("ValueError") == 3
