"""A lever: what goes wrong with the next ones."""

from typing import Final

NORMAL: Final = "normal"


class Lever:
    """Stands on `mode` for the next `remaining` things (None: until it is moved), then goes back to `normal`."""

    def __init__(self) -> None:
        self.mode = NORMAL
        self.remaining: int | None = None

    def move(self, mode: str, count: int | None) -> None:
        self.mode = mode
        self.remaining = count if mode != NORMAL else None

    def take(self) -> str:
        """What happens to this one."""
        mode = self.mode
        if mode != NORMAL and self.remaining is not None:
            self.remaining -= 1
            if self.remaining == 0:
                self.move(NORMAL, None)
        return mode
