"""A short siege of the product on a replica set of three, and whether the siege sees what it looks for.

`make chaos SEED=… MINUTES=…` goes on for as long as one likes; the same seed is the same plan.
"""

import copy
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.__main__ import place
from tests.chaos.checks import difference, log_faults
from tests.chaos.clients import Said
from tests.chaos.plan import MENU, Fault, rounds
from tests.chaos.report import Report
from tests.chaos.siege import besiege
from tests.functional.test_poor_networks import NEEDS_NODE
from tests.support.devices import Sent

SEED = 20
A_ROUND_MINUTES = 0.1


def test_the_same_seed_is_the_same_plan_however_long_and_each_round_has_all_faults() -> None:
    three = list(islice(rounds(7), 3))
    assert three == list(islice(rounds(7), 3)) != list(islice(rounds(8), 3))
    for steps in three:
        assert sorted(step.fault for step in steps) == sorted(fault for fault, _ in MENU)
        assert all((step.days != 0) == (step.fault is Fault.CLOCK) for step in steps)


def _entry(seq: int, kind: str, who: str = "d", client_id: str | None = None, **more: Any) -> dict[str, Any]:
    sender = {"account_id": who, "role": "doctor"}
    return {
        "seq": seq, "kind": kind, "sender": sender, "client_id": client_id, "recalled": False, "parts": [{}], **more,
    }  # fmt: skip


LOG = [_entry(1, "opened"), _entry(2, "message", "d", "one"), _entry(3, "message", "p", "two"), _entry(4, "settled")]
BY = {"d": Said(sent={"one": Sent(2, None), "late": Sent(None, "conversation.closed")}), "p": Said(sent={"two": Sent(3, None)})}


def test_a_log_as_it_was_acknowledged_has_no_fault() -> None:
    assert log_faults(LOG, BY) == []


def test_what_a_patient_takes_back_after_the_settling_is_no_fault() -> None:
    """Where no reply could be recalled any more money is settled at once; a recall after it only masks."""
    log = [*LOG[:2], {**LOG[2], "recalled": True, "parts": []}, LOG[3], _entry(5, "recall", "p", "back")]
    said = Said(sent={"two": Sent(3, None), "back": Sent(5, None)}, recalled={3})
    assert log_faults(log, {**BY, "p": said}) == []
    after = [*log, _entry(6, "message", "p", "three")]
    assert any(fault.startswith("it should begin") for fault in log_faults(after, {**BY, "p": said}))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ([LOG[0], LOG[1], LOG[3]], "two was acknowledged as 3, and stands there as None"),
        ([*LOG[:3], _entry(4, "message", "d", "one"), _entry(5, "settled")], "one is there 2 times"),
        ([LOG[0], LOG[1], _entry(4, "message", "p", "two"), LOG[3]], "numbers are not 1 to 4: [1, 2, 4, 4]"),
        ([*LOG[:3], _entry(4, "message", "d", "late"), _entry(5, "settled")], "late was acknowledged as None, and stands"),
        ([LOG[0], {**LOG[1], "recalled": True}, *LOG[2:]], "recalled are [], shown as such [2]"),
        ([*LOG, _entry(5, "settled")], "it should begin with its opening and end with its settling, "),
        ([*LOG[:3], _entry(4, "gift"), _entry(5, "settled")], "0 gifts were acknowledged, 1 are there"),
    ],
)  # fmt: skip
def test_what_is_lost_doubled_out_of_order_or_not_acknowledged_is_seen(changed: list[dict[str, Any]], found: str) -> None:
    assert any(fault.startswith(found) for fault in log_faults(changed, BY))


def test_devices_that_hold_different_logs_are_seen() -> None:
    other = copy.deepcopy(LOG)
    other[1]["parts"] = []
    assert difference(LOG, other) == ["entry 2: parts differ"]
    assert difference(LOG, LOG[:3]) == ["4 entries on one, 3 on the other"]


@NEEDS_NODE
@pytest.mark.stress
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_round_of_every_fault_loses_nothing_that_was_acknowledged() -> None:
    """Whoever is killed, frozen, filled up or set to another day: the report says what was done, and must end well."""
    folder: Path = place()
    said: list[str] = []
    report: Report = await besiege(SEED, A_ROUND_MINUTES, folder, said.append)
    print(report.text())
    assert report.holds, f"the logs are in {folder}\n{report.text()}"
    shutil.rmtree(folder)
    assert sum(done.happened for done in report.done) >= len(MENU) - 4
