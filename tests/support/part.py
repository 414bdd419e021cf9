"""Stands for a subcommand of `yunzhen` where the supervisor itself is tested: `part.py WORD`.

YZ_TEST_FAILS, YZ_TEST_STUBBORN: the word of the part that cannot start, or does not hear SIGTERM. Writes its word to
`$YZ_DATA_DIR/stopped` when it is told to stop.
"""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from server.app.notify import notify_ready


class _Fine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main(word: str) -> int:
    if os.environ.get("YZ_TEST_FAILS") == word:
        print(f"{word} has no luck today")
        return 3
    if word == "demo":
        return 0
    told = threading.Event()
    if os.environ.get("YZ_TEST_STUBBORN") != word:
        signal.signal(signal.SIGTERM, lambda *_: told.set())
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ports = {"serve": "YZ_PORT", "simulators": "YZ_SIM_PORT"}
    if word in ports:
        server = HTTPServer(("127.0.0.1", int(os.environ[ports[word]])), _Fine)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    notify_ready()
    told.wait()
    with (Path(os.environ["YZ_DATA_DIR"]) / "stopped").open("a") as file:
        file.write(f"{word}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
