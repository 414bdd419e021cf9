"""What stands on a page: blocks from top to bottom, in the order in which they are drawn.

A sheet knows nothing of pixels beyond heights: the same sheet is drawn narrow and wide, light and dark.
"""

import msgspec


class Block(msgspec.Struct, frozen=True, tag=True):
    """One thing on a page."""


class Heading(Block, frozen=True, tag=True):
    text: str


class Text(Block, frozen=True, tag=True):
    """Paragraphs. `strong`: what the reader must not miss (an impression, a diagnosis)."""

    text: str
    strong: bool = False


class Remark(Block, frozen=True, tag=True):
    """Our words about the record (something is left out), never the hospital's."""

    text: str


class Drug(Block, frozen=True, tag=True):
    number: int
    name: str
    dose: str
    usage: str
    quantity: str
    note: str


class Row(msgspec.Struct, frozen=True):
    """One result. `flag` as in `records.Flag`; `move`: 1 up from the previous figure, -1 down, 0 neither or unknown."""

    name: str
    value: str
    unit: str
    range: str
    flag: str
    previous: str
    move: int = 0


class Table(Block, frozen=True, tag=True):
    """Results. `density` 0 (loose) to 2 (tight) is the spacing of rows."""

    rows: tuple[Row, ...]
    density: int


class Grid(Block, frozen=True, tag=True):
    """A table in a document, by a number of its own there. `widths` of its columns on a narrow page; `head` stands above its
    rows on each page. In place of a cell there may be the marks for more of the one above or to the left (`typography`)."""

    number: int
    widths: tuple[int, ...]
    head: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[str, ...], ...]


class Dot(msgspec.Struct, frozen=True):
    at_ms: int
    number: float
    value: str
    flag: str


class Chart(Block, frozen=True, tag=True):
    """The course of one test. `low` and `high` bound the reference band; either may be open."""

    name: str
    unit: str
    range: str
    low: float | None
    high: float | None
    dots: tuple[Dot, ...]


class PictureSlot(msgspec.Struct, frozen=True):
    """Where picture `index` of those handed over with the sheet goes."""

    index: int
    caption: str


class Pictures(Block, frozen=True, tag=True):
    """Pictures of a study, `columns` beside each other, each with a scale where its pixel size is known."""

    columns: int
    slots: tuple[PictureSlot, ...]


AnyBlock = Heading | Text | Remark | Drug | Table | Grid | Chart | Pictures


class Sheet(msgspec.Struct, frozen=True):
    """One page of a record. `number` of `count`; `facts` are pairs of label and words for the head of the page."""

    form: str
    title: str
    number: int
    count: int
    facts: tuple[tuple[str, str], ...]
    blocks: tuple[AnyBlock, ...]
    critical: bool = False
