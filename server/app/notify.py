"""Telling whoever started us that we are up: systemd's notification protocol, which `yunzhen run` speaks too."""

import os
import socket
import struct
from typing import Final

_CREDENTIALS: Final = struct.Struct("iII")
_MESSAGE_BYTES: Final = 256
_READY: Final = b"READY=1"


def notify_ready() -> None:
    """Say once that this process does its work. Whom to tell is the starter's to say, in NOTIFY_SOCKET; nobody is fine."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.send(_READY)
        except OSError:
            return  # whoever wanted to know is gone


class ReadySocket:
    """Hears which processes are up, by the pid that the kernel vouches for."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("")  # the kernel chooses a free abstract name
        self.address = "@" + self._socket.getsockname()[1:].decode()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ready_pids(self) -> list[int]:
        """The pids of those that have said so since the last call."""
        pids: list[int] = []
        while True:
            try:
                message, extra, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return pids
            if _READY in message.splitlines():
                pids += [_CREDENTIALS.unpack(data)[0] for _, kind, data in extra if kind == socket.SCM_CREDENTIALS]

    def close(self) -> None:
        self._socket.close()
