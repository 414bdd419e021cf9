"""Many writers on one conversation, with everything that can go wrong: numbers without a hole, each acknowledged once."""

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from im.codec import RAW_OPTIONS, ConversationCodec
from im.domain import Draft, EntryKind, RecallMessage
from im.errors import (
    ConversationClosed,
    ConversationQuotaExhausted,
    MessageAlreadyRecalled,
    MessageRecallRefused,
)
from im.mongo import LOG
from im.verify import verify_conversation
from server.kernel.crypto import Keyring
from server.kernel.errors import DomainError, Unavailable
from server.kernel.ids import new_id
from server.kernel.mongo import connect
from server.kernel.mongo import database as open_database
from tests.support.clock import ManualClock
from tests.support.faulty_mongo import Faults, faulty_mongo
from tests.support.im_log import DOCTOR, MASTER, PATIENT, Openings, QuotaRules, actor, make_log, say

pytestmark = [pytest.mark.stress, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def mongo(tmp_path_factory):
    with faulty_mongo(tmp_path_factory.mktemp("races")) as mongo:
        yield mongo


class Writers:
    """Several processes' worth of logs on one database, each with its own client, cache and keys."""

    def __init__(self, url, conversation, quota):
        self._url = url
        self.name = f"test_{new_id()}"
        self.conversation = conversation
        self._openings = Openings(conversation, quota=quota)
        self.clock = ManualClock()
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        self.client = connect(self._url, app_name="checker")
        self.database = open_database(self.client, self.name)
        self.faults = Faults(self.client)
        return self

    async def __aexit__(self, *_):
        await self.faults.none()
        await self._stack.aclose()
        await self.client.drop_database(self.name)
        await self.client.close()

    def add(self, count, **options):
        logs = []
        for _ in range(count):
            client = connect(self._url, app_name="writer")
            log = make_log(open_database(client, self.name), self._openings, self.clock, **options)
            self._stack.push_async_callback(client.close)
            self._stack.push_async_callback(log.close, 1)
            logs.append(log)
        return logs

    async def documents(self):
        log = self.database.get_collection(LOG, codec_options=RAW_OPTIONS)
        return await log.find({}, sort=[("_id", 1)]).to_list()

    async def serial(self):
        """The log read and folded one by one, by nobody's cache: what every writer must agree with."""
        documents = await self.documents()
        assert verify_conversation(documents).is_sound
        key = await Keyring(MASTER, self.database).conversation("default", self.conversation)
        codec, rules, state = ConversationCodec(self.conversation, "default", key), QuotaRules(), None
        for document in documents:
            state = rules.fold(state, codec.open(document).entry)
        assert [seq for seq, _, _ in state.trail] == list(range(1, len(documents) + 1))
        return state


def writers(mongo, quota=3):
    return Writers(mongo.url, new_id(), quota)


async def until_certain(log, conversation, command):
    """As a client does: the same command again until the answer is certain."""
    while True:
        try:
            return await log.send(actor(command.account_id), conversation, command)
        except Unavailable:
            await asyncio.sleep(0.05)


async def write(log, conversation, name, count, sender=PATIENT):
    acknowledged = []
    for n in range(count):
        command = say(sender, "你好", f"{name}-{n:06}")
        acknowledged.append((await until_certain(log, conversation, command)).entry.seq)
    return acknowledged


async def test_eight_writers_on_one_conversation_leave_no_hole_and_each_number_is_acknowledged_once(mongo):
    async with writers(mongo) as race:
        logs = race.add(8)
        numbers = await asyncio.gather(*(write(log, race.conversation, f"w{n}", 40) for n, log in enumerate(logs)))
        assert sorted(seq for each in numbers for seq in each) == list(range(2, 322))
        assert (await race.serial()).seq == 321
        for log in logs:
            assert (await log.read_fresh(race.conversation)).state == await race.serial()


async def test_the_quota_holds_exactly_against_eight_processes(mongo):
    async with writers(mongo, quota=7) as race:
        outcomes = await asyncio.gather(
            *(log.send(actor(DOCTOR), race.conversation, say(DOCTOR, "好")) for log in race.add(8) for _ in range(15)),
            return_exceptions=True,
        )
        kinds = Counter(type(outcome).__name__ for outcome in outcomes)
        assert kinds == {"Appended": 7, "ConversationQuotaExhausted": 113}
        assert (await race.serial()).counted == list(range(2, 9))


async def test_replies_and_recalls_of_many_processes_never_exceed_the_quota_and_never_refuse_wrongly(mongo):
    """Whatever comes first, at the end the quota can be used up exactly: no recall was lost, no reply counted twice."""
    async with writers(mongo, quota=4) as race:
        logs = race.add(6)

        async def act(log, n):
            for turn in range(12):
                try:
                    if (n + turn) % 3:
                        await log.send(actor(DOCTOR), race.conversation, say(DOCTOR, "好"))
                    else:
                        counted = (await log.read(race.conversation)).state.counted
                        target = counted[turn % len(counted)] if counted else 1
                        await log.recall(actor(DOCTOR), race.conversation, RecallMessage(DOCTOR, new_id(), target))
                except (ConversationQuotaExhausted, ConversationClosed, MessageAlreadyRecalled, MessageRecallRefused):
                    pass

        await asyncio.gather(*(act(log, n) for n, log in enumerate(logs)))
        free = 4 - len((await race.serial()).counted)
        for _ in range(free):
            await logs[0].send(actor(DOCTOR), race.conversation, say(DOCTOR, "好"))
        for log in logs:
            with pytest.raises(ConversationQuotaExhausted):
                await log.send(actor(DOCTOR), race.conversation, say(DOCTOR, "好"))
        assert len((await race.serial()).counted) == 4


@pytest.mark.parametrize(
    "fault",
    [{"closeConnection": True}, {"writeConcernError": {"code": 64, "errmsg": "timed out"}}],
    ids=["connections break", "majorities come late"],
)
async def test_writers_through_unknown_outcomes_lose_and_double_nothing(mongo, fault):
    async with writers(mongo) as race:
        logs = race.add(4)
        await logs[0].read(race.conversation)
        await race.faults.sometimes(0.3, failCommands=["insert"], namespace=f"{race.name}.{LOG}", **fault)
        numbers = await asyncio.gather(*(write(log, race.conversation, f"w{n}", 20) for n, log in enumerate(logs)))
        await race.faults.none()
        assert sorted(seq for each in numbers for seq in each) == list(range(2, 82))
        assert (await race.serial()).seq == 81


async def test_entries_without_a_client_id_are_stored_once_through_unknown_outcomes(mongo):
    """Nobody can repeat them, so what the log itself does about a doubtful entry is all there is."""
    async with writers(mongo, quota=0) as race:
        logs = race.add(3)
        await logs[0].read(race.conversation)
        fault = {"writeConcernError": {"code": 64, "errmsg": "timed out"}}
        await race.faults.sometimes(0.4, failCommands=["insert"], namespace=f"{race.name}.{LOG}", **fault)
        gift = Draft(EntryKind.GIFT, None, "system", data={"count": 1})
        gifts = [log.append(race.conversation, lambda *_: gift) for log in logs for _ in range(15)]
        numbers = sorted(appended.entry.seq for appended in await asyncio.gather(*gifts))
        await race.faults.none()
        assert numbers == list(range(2, 47))
        assert (await race.serial()).quota == 45


async def test_the_same_commands_through_several_processes_and_faults_are_stored_once_each(mongo):
    """A client that never hears back sends again, through whichever process: one message, one number."""
    async with writers(mongo) as race:
        logs = race.add(4)
        await logs[0].read(race.conversation)
        await race.faults.sometimes(0.3, failCommands=["insert"], namespace=f"{race.name}.{LOG}", closeConnection=True)
        numbers = await asyncio.gather(*(write(log, race.conversation, "same", 12) for log in logs))
        await race.faults.none()
        assert numbers[0] == numbers[1] == numbers[2] == numbers[3]
        assert (await race.serial()).seq == 13


async def test_a_primary_that_steps_down_costs_no_acknowledged_entry(mongo):
    async with writers(mongo) as race:
        logs = race.add(3)
        tasks = [asyncio.create_task(write(log, race.conversation, f"w{n}", 60)) for n, log in enumerate(logs)]
        while len(await race.documents()) < 30:
            await asyncio.sleep(0.01)
        await race.faults.step_down()
        numbers = await asyncio.gather(*tasks)
        assert sorted(seq for each in numbers for seq in each) == list(range(2, 182))
        assert (await race.serial()).seq == 181


async def test_a_database_that_is_killed_costs_no_acknowledged_entry(tmp_path):
    with faulty_mongo(tmp_path) as own:
        async with writers(own) as race:
            logs = race.add(3)
            tasks = [asyncio.create_task(write(log, race.conversation, f"w{n}", 60)) for n, log in enumerate(logs)]
            while len(await race.documents()) < 30:
                await asyncio.sleep(0.01)
            own.kill()
            own.start()
            numbers = await asyncio.gather(*tasks)
            assert sorted(seq for each in numbers for seq in each) == list(range(2, 182))
            assert (await race.serial()).seq == 181


async def test_a_writer_that_is_killed_in_the_middle_costs_no_acknowledged_entry_and_no_number(mongo):
    async with writers(mongo, quota=0) as race:
        (log,) = race.add(1)
        await log.read(race.conversation)
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.support.im_writer",
                *(mongo.url, race.name, race.conversation, f"p{n}"),
                stdout=asyncio.subprocess.PIPE,
            )
            for n in range(2)
        ]
        firsts = [await process.stdout.readline() for process in processes]
        mine = await write(log, race.conversation, "mine", 30)
        acknowledged = []
        for process in processes:
            process.kill()
            acknowledged += (await process.stdout.read()).split(b"\n")[:-1]
            await process.wait()
        mine += await write(log, race.conversation, "later", 5)
        state = await race.serial()
        by_number = {seq: client_id for seq, _, client_id in state.trail}
        told = [line.decode().split() for line in [*(first.strip() for first in firsts), *acknowledged]]
        assert {int(seq): client_id for seq, client_id in told} == {int(seq): by_number[int(seq)] for seq, _ in told}
        assert not {int(seq) for seq, _ in told} & set(mine)
        clients = [client_id for _, kind, client_id in state.trail if kind == "message"]
        assert len(clients) == len(set(clients))


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["reply", "ask", "recall", "same", "fresh", "fault", "together"]),
        st.integers(0, 5),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_the_fold_of_any_interleaving_is_the_fold_of_the_serial_log(mongo, script):
    """Three processes do whatever they like, with hints, faults and retries: each agrees with the log read one by one."""
    asyncio.run(_interleave(mongo, script))


async def _interleave(mongo, script):
    async with writers(mongo, quota=3) as race:
        hints = []
        logs = race.add(3, hints=[lambda _, raw: hints.append(raw)])

        async def step(log, what, n):
            try:
                if what == "reply":
                    await until_certain(log, race.conversation, say(DOCTOR, "好"))
                elif what == "ask":
                    await until_certain(log, race.conversation, say(PATIENT, "问"))
                elif what == "same":
                    await until_certain(log, race.conversation, say(PATIENT, "同", f"same-{n:04}"))
                elif what == "recall":
                    await log.recall(actor(DOCTOR), race.conversation, RecallMessage(DOCTOR, new_id(), n))
                elif what == "fresh":
                    await log.read_fresh(race.conversation)
                elif what == "fault":
                    await race.faults.next(1, failCommands=["insert"], namespace=f"{race.name}.{LOG}", closeConnection=True)
                else:
                    await asyncio.gather(*(step(each, ["reply", "ask", "recall"][n % 3], n) for each in logs))
            except DomainError:
                pass
            for raw in hints[-n:]:
                log.fold_hint(race.conversation, raw)

        for who, what, n in script:
            await step(logs[who], what, n)
        for log in logs:
            await log.read_fresh(race.conversation)
        serial = await race.serial()
        assert len(serial.counted) <= 3
        for log in logs:
            assert (await log.read(race.conversation)).state == serial
