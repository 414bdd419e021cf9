"""Beat asks for periodic jobs whatever becomes of its machine's clock, of Redis and of the workers."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from server.app.celery_app import TASK, make_celery, schedule
from server.app.steady_beat import MOST_WAITING, SteadyScheduler
from tests.support.redis_server import RedisServer

EVERY = {"often": timedelta(seconds=2), "rarely": timedelta(hours=1)}
_QUEUE = "yunzhen"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    found = RedisServer()
    found.start()
    yield found
    found.kill()


class Beat:
    """A scheduler whose monotonic clock the test turns."""

    def __init__(self, server: RedisServer) -> None:
        self.seconds = 1_000.0
        self.broker = redis.Redis.from_url(server.url)
        app = make_celery(server.url)
        schedule(app, EVERY)
        self.scheduler = SteadyScheduler(app, monotonic=lambda: self.seconds)

    def asked(self) -> list[dict[str, Any]]:
        """What was asked for since the last time, oldest first."""
        found = [json.loads(each) for each in self.broker.lrange(_QUEUE, 0, -1)]
        self.broker.delete(_QUEUE)
        return found[::-1]

    def names(self) -> list[str]:
        return [json.loads(base64.b64decode(each["body"]))[0][0] for each in self.asked()]

    def close(self) -> None:
        self.scheduler.close()
        self.broker.close()


@pytest.fixture
def beat(server: RedisServer) -> Iterator[Beat]:
    made = Beat(server)
    yield made
    made.close()


def test_each_job_is_asked_for_at_the_start_and_then_at_its_interval(beat: Beat) -> None:
    assert beat.scheduler.tick() == 2.0
    assert sorted(beat.names()) == ["often", "rarely"]
    beat.seconds += 1.5
    assert beat.scheduler.tick() == 0.5
    assert beat.names() == []
    beat.seconds += 0.5
    assert beat.scheduler.tick() == 2.0
    assert beat.names() == ["often"]


def test_what_fell_into_a_pause_is_asked_for_once(beat: Beat) -> None:
    beat.scheduler.tick()
    beat.asked()
    beat.seconds += 7_200.0
    assert beat.scheduler.tick() == 2.0
    assert sorted(beat.names()) == ["often", "rarely"]


@pytest.mark.parametrize("days", [-9, 9])
def test_a_clock_that_was_set_changes_neither_when_a_job_is_asked_for_nor_whether_it_is_taken(
    beat: Beat, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """By Celery's own scheduler a day to come was written down, and nothing asked for until then."""
    now = Celery.now
    with monkeypatch.context() as misdated:
        misdated.setattr(Celery, "now", lambda app: now(app) + timedelta(days=days))
        beat.scheduler.tick()
        requests = beat.asked()
        assert [(each["headers"]["task"], each["headers"]["expires"]) for each in requests] == [(TASK, None)] * 2
    beat.seconds += 2.0
    beat.scheduler.tick()
    assert beat.names() == ["often"]


def test_no_heap_grows_before_a_worker_that_is_gone_and_all_goes_on_when_it_is_back(beat: Beat) -> None:
    beat.broker.rpush(_QUEUE, *(["x"] * MOST_WAITING))
    beat.scheduler.tick()
    assert beat.broker.llen(_QUEUE) == MOST_WAITING
    beat.broker.ltrim(_QUEUE, 0, 9)
    beat.seconds += 2.0
    beat.scheduler.tick()
    assert beat.broker.llen(_QUEUE) == 11


def test_a_broker_that_died_is_asked_again(server: RedisServer, beat: Beat) -> None:
    beat.scheduler.tick()
    server.kill()
    beat.seconds += 2.0
    assert beat.scheduler.tick() == 2.0
    server.start()
    beat.seconds += 2.0
    beat.scheduler.tick()
    assert beat.names() == ["often"]
