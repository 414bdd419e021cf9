"""Text on pages: nothing is drawn as a box, nothing is lost at the end of a line."""

import pytest
from PIL import Image, ImageDraw

from watermark import fonts


def _ink(text: str, *, size: int = 32, bold: bool = False) -> tuple[int, int, int, int] | None:
    image = Image.new("L", (1200, 80))
    fonts.draw_text(ImageDraw.Draw(image), (20, 10), text, size=size, fill=255, bold=bold)
    return image.getbbox()


@pytest.mark.parametrize("char", "⁹⁺⁻₂↑↓℃μµα×≤≥±·²³‰°′″Ω→①㎡▲▼★✓♂♀⚠□é￥")
def test_signs_of_medicine_have_ink(char: str) -> None:
    assert _ink(char) is not None


@pytest.mark.parametrize("name", ["䶮", "㛃", "𠅤", "𬭚", "𫖯", "犇", "彧", "燚", "頔", "𬤇"])
def test_rare_names_are_drawn_each_in_its_own_way(name: str) -> None:
    face = fonts.load_face(40)
    drawn = {glyph.mask.tobytes() for char in (name, "张", "\u2603") if (glyph := face.glyph(char)) and glyph.mask}
    assert len(drawn) == 3


@pytest.mark.parametrize(("char", "code"), [("😀", "U+1F600"), ("ب", "U+0628"), ("\x07", "U+0007"), ("\ue000", "U+E000")])
def test_what_no_face_has_fails_the_render_and_names_only_the_code_point(char: str, code: str) -> None:
    image = Image.new("L", (200, 60))
    with pytest.raises(fonts.UndrawableText) as caught:
        fonts.draw_text(ImageDraw.Draw(image), (0, 0), f"血钾{char}", size=30, fill=255)
    assert str(caught.value) == f"no face can draw {code}"
    assert image.getbbox() is None


def test_what_would_fail_can_be_asked_before() -> None:
    assert fonts.find_undrawable("血钾 K⁺\n3.5\r\n😀ب\u200b") == {"😀", "ب"}


def test_spaces_and_invisible_characters_need_no_ink() -> None:
    face = fonts.load_face(30)
    assert _ink(" \u00a0\u3000\u2009") is None
    assert face.measure("白\u200b细\ufe0f胞\u00ad") == face.measure("白细胞")
    assert face.measure("\u3000") == 30


def test_letters_and_accents_apart_are_drawn_as_one() -> None:
    assert _ink("Sjo\u0308gren") == _ink("Sj\u00f6gren")


def test_the_anchor_says_which_point_of_the_text_stands_where() -> None:
    width = fonts.measure("白细胞", 30)
    assert width == 90
    boxes = {}
    for anchor in ("ls", "ms", "rs"):
        image = Image.new("L", (400, 100))
        assert fonts.draw_text(ImageDraw.Draw(image), (200, 60), "白细胞", size=30, fill=255, anchor=anchor) == width
        boxes[anchor] = image.getbbox()
    left = boxes["ls"]
    assert left is not None
    assert left[0] >= 200
    assert left[2] <= 200 + width
    assert left[3] in range(60, 66)
    assert boxes["ms"] == (left[0] - 45, left[1], left[2] - 45, left[3])
    assert boxes["rs"] == (left[0] - 90, left[1], left[2] - 90, left[3])


def test_bold_text_has_more_ink_on_the_same_line() -> None:
    def ink(bold: bool) -> int:
        image = Image.new("L", (400, 60))
        fonts.draw_text(ImageDraw.Draw(image), (0, 0), "危急值 6.8", size=32, fill=255, bold=bold)
        return sum(value * count for value, count in enumerate(image.histogram()))

    assert ink(True) > 1.3 * ink(False)


def test_a_size_below_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        fonts.Face(0)


def test_lines_fit_and_lose_nothing_but_spaces() -> None:
    text = "患者因“反复上腹痛3月余，加重2天（伴恶心、呕吐）”入院。查体：T 37.2℃，BP 120/80mmHg；WBC 6.32×10⁹/L。"
    lines = fonts.wrap(text, 34, 300)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(fonts.measure(line, 34) for line in lines) <= 300
    assert not any(line[0] in "，。、；：）”℃" for line in lines)
    assert not any(line[-1] in "（“" for line in lines)
    assert any("37.2℃" in line for line in lines)
    assert any("6.32×10⁹/L" in line for line in lines)


def test_a_word_longer_than_the_line_is_broken_and_empty_lines_stay() -> None:
    lines = fonts.wrap(f"{'A' * 40}\n\n完", 20, 100)
    assert "".join(lines[:-2]) == "A" * 40
    assert lines[-2:] == ["", "完"]
    assert max(fonts.measure(line, 20) for line in lines) <= 100
