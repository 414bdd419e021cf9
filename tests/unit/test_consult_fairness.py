"""When a reply is no fair one, as a pure rule."""

import pytest

from consult.domain.fairness import SHORTEST, Flaw, Said, find_flaw, normalised


def text(words: str) -> dict[str, str]:
    return {"kind": "text", "text": words}


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("您好，请 稍等！", "您好请稍等"),
        ("ＯＫ　Ok。ok", "okokok"),
        ("……\n👍", ""),
        ("血压 120/80", "血压12080"),
    ],
)
def test_what_makes_no_difference_is_left_out(words: str, kept: str) -> None:
    assert normalised([text(words)]) == kept


@pytest.mark.parametrize(
    ("parts", "flaw"),
    [
        ([text("好" * (SHORTEST - 1))], Flaw.EMPTY),
        ([text("好" * SHORTEST)], None),
        ([text("您好，请稍等。")], Flaw.EMPTY),
        ([text("。" * 50)], Flaw.EMPTY),
        ([text("见图"), {"kind": "image", "media_id": "m"}], None),
        ([{"kind": "voice", "media_id": "m"}], None),
        ([text("请复查"), text("血常规")], None),
    ],
)
def test_a_reply_that_says_too_little_is_empty_unless_a_picture_says_it(parts: list[dict[str, str]], flaw: Flaw | None) -> None:
    assert find_flaw(parts, b"d", [], order_id="o") is flaw


def test_the_same_words_are_repeated_in_another_order_only() -> None:
    parts = [text("请多喝水，注意休息")]
    assert find_flaw(parts, b"d", [Said("other", b"d")], order_id="o") is Flaw.REPEATED
    assert find_flaw(parts, b"d", [Said("o", b"d")], order_id="o") is None
    assert find_flaw(parts, b"d", [Said("other", b"e")], order_id="o") is None
