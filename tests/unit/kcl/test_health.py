"""Alive, ready, counted: the answers, and the server that gives them."""

import json
import urllib.error
import urllib.request
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from worker.kcl.health import Answer, HttpServer, Phase, exposition, healthz, readyz
from worker.kcl.listener import Heard

NOW = 1_000.0
WORKING = Heard(11, NOW - 1, "working", "")
WAITING = Heard(12, NOW - 30, "waiting", "LedgerUnavailable")
HALTED = Heard(13, NOW - 2, "halted", "poison flood")
SILENT = Heard(14, NOW - 30.5, "working", "")


def body(answer: Answer) -> Any:
    assert answer.content_type == "application/json"
    return json.loads(answer.body)


@pytest.mark.parametrize("phase", ["starting", "running", "restarting", "stopping"])
def test_a_worker_without_shards_is_healthy(phase: Phase) -> None:
    assert healthz(phase, {}, NOW).status == 200


def test_waiting_and_halted_shards_are_alive() -> None:
    answer = healthz("running", {"a": WORKING, "b": WAITING, "c": HALTED}, NOW)
    assert answer.status == 200
    assert body(answer) == {"healthy": True, "daemon": "running", "silent_shards": []}


def test_a_shard_that_is_asked_nothing_is_alive_and_not_ready() -> None:
    idle = {"a": Heard(11, NOW - 1, "idle", "no call of the daemon for 20 s")}
    assert healthz("running", idle, NOW).status == 200
    assert readyz("running", idle, NOW).status == 503


def test_a_silent_shard_is_not() -> None:
    answer = healthz("running", {"a": WORKING, "d": SILENT}, NOW)
    assert answer.status == 503
    assert body(answer)["silent_shards"] == ["d"]


def test_nor_is_a_daemon_that_was_given_up() -> None:
    assert healthz("given_up", {}, NOW).status == 503


def test_ready_while_every_shard_works() -> None:
    assert readyz("running", {}, NOW).status == 200
    answer = readyz("running", {"a": WORKING}, NOW)
    assert answer.status == 200
    assert body(answer)["shards"] == {"a": {"status": "working", "detail": "", "heard_seconds_ago": 1.0}}


@pytest.mark.parametrize(("heard", "status"), [(WAITING, "waiting"), (HALTED, "halted"), (SILENT, "silent")])
def test_not_ready_says_which_shard_and_why(heard: Heard, status: str) -> None:
    answer = readyz("running", {"a": WORKING, "b": heard}, NOW)
    assert answer.status == 503
    told = body(answer)
    assert told["ready"] is False
    assert (told["shards"]["b"]["status"], told["shards"]["b"]["detail"]) == (status, heard.detail)


@pytest.mark.parametrize("phase", ["starting", "restarting", "stopping", "given_up"])
def test_not_ready_without_a_running_daemon(phase: Phase) -> None:
    assert readyz(phase, {}, NOW).status == 503


def test_not_ready_while_the_lease_tables_are_away() -> None:
    answer = readyz("running", {"a": WORKING}, NOW, tables_away=True)
    assert answer.status == 503
    assert body(answer)["lease_tables"] == "away"
    assert body(readyz("running", {}, NOW))["lease_tables"] == "answer"


def get(port: int, path: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_the_server_answers_its_routes_on_a_free_port() -> None:
    registry = CollectorRegistry()
    Gauge("edu_daemon_up", "1 while the KCL daemon runs.", registry=registry).set(1)
    routes = {
        "/healthz": lambda: healthz("given_up", {}, NOW),
        "/metrics": lambda: exposition(registry),
    }
    with closing(HttpServer("127.0.0.1", 0, routes)) as server:
        status, content_type, text = get(server.port, "/healthz?verbose")
        assert (status, content_type) == (503, "application/json")
        assert json.loads(text)["daemon"] == "given_up"
        status, content_type, text = get(server.port, "/metrics")
        assert (status, content_type.split(";")[0]) == (200, "text/plain")
        assert b"edu_daemon_up 1.0" in text
        assert get(server.port, "/etc/passwd")[0] == 404


def test_a_taken_port_is_an_error() -> None:
    with closing(HttpServer("127.0.0.1", 0, {})) as server, pytest.raises(OSError, match="in use"):
        HttpServer("127.0.0.1", server.port, {})
