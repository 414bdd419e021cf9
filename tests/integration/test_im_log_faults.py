"""What the database does wrong, done by a real one: no acknowledged entry is lost or doubled, no refusal is a guess."""

import asyncio

import pytest

from im.codec import RAW_OPTIONS
from im.errors import ConversationQuotaExhausted
from im.mongo import LOG
from im.verify import verify_conversation
from server.kernel.errors import Unavailable
from server.kernel.ids import new_id
from server.kernel.mongo import connect
from server.kernel.mongo import database as open_database
from tests.support.faulty_mongo import faults_of, faulty_mongo
from tests.support.im_log import DOCTOR, PATIENT, Heard, Openings, actor, make_log, say

UNKNOWN_OUTCOMES = {
    "stored, but not by a majority in time": {"writeConcernError": {"code": 64, "errmsg": "timed out"}},
    "connection closed": {"closeConnection": True},
    "not primary": {"errorCode": 10107},
    "stepped down": {"errorCode": 11602},
}


@pytest.fixture(scope="module")
def faulty_url(tmp_path_factory):
    with faulty_mongo(tmp_path_factory.mktemp("faulty")) as mongo:
        yield mongo.url


@pytest.fixture
async def faults(faulty_url):
    async with faults_of(faulty_url) as faults:
        yield faults


@pytest.fixture
async def faulty(faulty_url):
    client = connect(faulty_url, app_name="one")
    name = f"test_{new_id()}"
    yield open_database(client, name)
    await client.drop_database(name)
    await client.close()


@pytest.fixture
def conversation():
    return new_id()


@pytest.fixture
def openings(conversation):
    return Openings(conversation)


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
async def log(faulty, openings, clock, heard):
    made = make_log(faulty, openings, clock, listeners=[heard])
    yield made
    await made.close(0.5)


@pytest.fixture
async def other(faulty, faulty_url, openings, clock):
    """Another process, with a connection of its own."""
    client = connect(faulty_url, app_name="other")
    made = make_log(open_database(client, faulty.name), openings, clock)
    yield made
    await made.close(0.5)
    await client.close()


async def send(log, conversation, account=PATIENT, client_id=None):
    return await log.send(actor(account), conversation, say(account, "你好", client_id))


async def stored(database, conversation):
    log = database.get_collection(LOG, codec_options=RAW_OPTIONS)
    documents = await log.find({"_id": {"$gte": bytes.fromhex(conversation)}}, sort=[("_id", 1)]).to_list()
    assert verify_conversation(documents).is_sound
    return documents


@pytest.mark.parametrize("fault", UNKNOWN_OUTCOMES.values(), ids=UNKNOWN_OUTCOMES)
async def test_an_unknown_outcome_is_insisted_on_until_the_entry_is_stored_once(
    log, faults, faulty, conversation, heard, fault
):
    await send(log, conversation)
    await faults.next(3, failCommands=["insert"], **fault)
    appended = await send(log, conversation, client_id="client-0001")
    assert (appended.entry.seq, appended.repeated) == (3, False)
    documents = await stored(faulty, conversation)
    assert [document["id"].hex() for document in documents][2:] == [appended.entry.id]
    assert (await send(log, conversation)).entry.seq == 4
    assert [entry.seq for entry, _ in heard.entries] == [1, 2, 3, 4]


@pytest.mark.parametrize("fault", UNKNOWN_OUTCOMES.values(), ids=UNKNOWN_OUTCOMES)
async def test_an_opening_of_unknown_outcome_opens_once(log, other, faults, faulty, conversation, fault):
    await faults.next(2, failCommands=["insert"], namespace=f"{faulty.name}.{LOG}", **fault)
    outcomes = await asyncio.gather(send(log, conversation), send(other, conversation))
    assert sorted(outcome.entry.seq for outcome in outcomes) == [2, 3]
    assert [document["kind"] for document in await stored(faulty, conversation)] == ["opened", "message", "message"]


async def test_nothing_else_of_the_conversation_is_decided_while_an_outcome_is_unknown(
    faulty, openings, clock, faults, conversation
):
    """Two of three replies are used. The third is in doubt: until it is known, a fourth is neither taken nor refused."""
    log = make_log(faulty, openings, clock, patience_seconds=1)
    for _ in range(2):
        await send(log, conversation, DOCTOR)
    await faults.always(failCommands=["insert"], closeConnection=True)
    outcomes = await asyncio.gather(
        send(log, conversation, DOCTOR, "client-0003"), send(log, conversation, DOCTOR), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    await faults.none()
    again = await send(log, conversation, DOCTOR, "client-0003")
    assert (again.entry.seq, again.repeated) == (4, True)
    with pytest.raises(ConversationQuotaExhausted):
        await send(log, conversation, DOCTOR)
    assert len(await stored(faulty, conversation)) == 4
    await log.close()


async def test_whoever_gave_up_may_find_that_the_entry_was_stored_later(faulty, openings, clock, faults, conversation):
    log = make_log(faulty, openings, clock, patience_seconds=0.5)
    await send(log, conversation)
    await faults.next(1, failCommands=["insert"], blockConnection=True, blockTimeMS=2_500)
    with pytest.raises(Unavailable):
        await send(log, conversation, client_id="client-0001")
    with pytest.raises(Unavailable):
        await send(log, conversation)
    async with asyncio.timeout(10):
        while (await log.read_fresh(conversation)).seq < 3:
            await asyncio.sleep(0.05)
    again = await send(log, conversation, client_id="client-0001")
    assert (again.entry.seq, again.repeated) == (3, True)
    await log.close()


async def test_an_entry_in_doubt_whose_number_another_process_took_is_decided_again(log, other, faults, faulty, conversation):
    """The insert never arrived; meanwhile another process uses up the quota. The doubtful reply must be refused then."""
    for _ in range(2):
        await send(log, conversation, DOCTOR)
    await other.read(conversation)
    await faults.always(failCommands=["insert"], closeConnection=True, appName="one")
    doubtful = asyncio.create_task(send(log, conversation, DOCTOR))
    while not log.figures.unknown:
        await asyncio.sleep(0)
    assert (await send(other, conversation, DOCTOR)).entry.seq == 4
    await faults.none()
    with pytest.raises(ConversationQuotaExhausted):
        await doubtful
    assert len(await stored(faulty, conversation)) == 4


async def test_a_refusal_is_never_given_when_the_tail_cannot_be_read(log, faults, conversation):
    for _ in range(3):
        await send(log, conversation, DOCTOR)
    await faults.next(4, failCommands=["find"], errorCode=50)
    with pytest.raises(Unavailable):
        await send(log, conversation, DOCTOR)
    await faults.none()
    with pytest.raises(ConversationQuotaExhausted):
        await send(log, conversation, DOCTOR)


async def test_a_lost_number_whose_tail_cannot_be_read_is_settled_when_it_can(log, other, faults, faulty, conversation):
    await send(log, conversation)
    await send(other, conversation)
    await faults.next(5, failCommands=["find"], errorCode=50)
    assert (await send(log, conversation)).entry.seq == 4
    assert len(await stored(faulty, conversation)) == 4


async def test_a_doubtful_entry_of_one_conversation_holds_up_no_other(log, openings, faults, conversation):
    second = new_id()
    openings.known.add(second)
    await send(log, conversation)
    await send(log, second)
    await faults.next(1, failCommands=["insert"], closeConnection=True)
    doubtful = asyncio.create_task(send(log, conversation))
    while not log.figures.unknown:
        await asyncio.sleep(0)
    assert (await send(log, second)).entry.seq == 3
    assert (await doubtful).entry.seq == 3


async def test_close_ends_also_while_an_outcome_is_unknown(faulty, openings, clock, faults, conversation):
    log = make_log(faulty, openings, clock)
    await send(log, conversation)
    await faults.always(failCommands=["insert"], closeConnection=True)
    doubtful = asyncio.create_task(send(log, conversation))
    while not log.figures.unknown:
        await asyncio.sleep(0)
    await log.close(0.2)
    with pytest.raises(Unavailable):
        await doubtful
