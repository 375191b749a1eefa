"""The parts of a backfill over twins: what is a row, where it goes, and that a run may end anywhere."""

import io
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
import zstandard
from rich.console import Console

from scripts.backfilling.dealing import Dealt, Looked, Terms, deal
from scripts.backfilling.filling import Filled, Filler
from scripts.backfilling.inputs import LANES, SHARES, Input, Reading, find, inspect, lane_of
from scripts.backfilling.lanes import Lane, Stopped, pause_of
from scripts.backfilling.looking import Looking
from scripts.backfilling.manifest import Entry, Manifest
from scripts.backfilling.rejects import Rejects
from scripts.backfilling.rows import Accepted, Edge, Rejected, decode
from scripts.backfilling.sharing import in_order
from scripts.backfilling.ways import File, OverStream, Straight, at_end
from scripts.backfilling.windows import LAST_PLACE, Part, pieces, place_of, windows
from scripts.frame.report import Report
from scripts.frame.script import Refused, Run, WrongArguments
from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from scripts.jobs.tally import Tally
from tests.conftest import IDENTITY, NOW, minutes, score_event
from tests.doubles import DECODER, Time
from worker.adapters.memory import MemoryLedger, MemoryProducer, MemoryProjection, MemoryRegisters
from worker.batch import Batch, StateKey
from worker.domain.accounting import Outcome
from worker.domain.errors import Fatal, LedgerUnavailable, PoisonFlood, StreamUnavailable
from worker.domain.position import ORIGIN, Position
from worker.ports import Committed, Progress
from worker.settings import load
from worker.stream.decoding import Limits
from worker.stream.difference import Difference
from worker.stream.pipeline import Policy, World
from worker.stream.projecting import state_value

HEADER = "student_id,course_id,item_id,attempt,score,max_score,occurred_at"
ROW = "ada,algebra,quiz-1,1,5,10,2026-03-01T10:00:00Z"
EDGE = Edge(IDENTITY, "default", NOW)
SOURCES = ["file:x:1of2", "file:x:2of2"]
READING = Reading("", "default", "k1")


class Scene:
    """One ledger and one projection behind the two lanes of a backfill."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.projection = MemoryProjection()
        self.stopping = Stopping()
        self.time = Time()

    def world(self) -> World:
        return World(self.ledger, self.projection, Tally(), self.time.now, pause_of(self.stopping))

    def straight(self, events: int = 7, window: int = 120) -> Straight:
        policy = Policy(limits=Limits(events, events))
        filler = Filler([self.world() for _ in SOURCES], DECODER, policy, self.stopping, window)
        return Straight(filler, self.world(), policy, self.stopping)

    def file(self, rows: Sequence[Accepted | Rejected], tmp_path: Path) -> File:
        entry = Entry("x.csv", NOW, len(rows) + 1)
        return File(
            SOURCES, iter(rows), entry, Rejects(tmp_path / "x.csv", None, keeps=False), lambda _by: None
        )

    def stands(self) -> dict[StateKey, bytes]:
        """Every state as the ledger has it, after a look that Redis has the same."""
        keys = list(self.ledger.current())
        states = {key: state_value(state)[17:] for key, state in self.ledger.read(keys).items()}
        assert {key: (self.projection.states([key])[0] or b"")[17:] for key in keys} == states
        return states

    def accounts(self) -> dict[str, int]:
        found = [progress.accounting for progress in self.ledger.progress().values()]
        return {outcome: sum(each[outcome] for each in found) for outcome in Outcome}


def rows_of(count: int) -> list[Accepted | Rejected]:
    """Attempts of some pupils, duplicates, regrades and rejected rows between them, line after line."""
    chance = random.Random(3)
    rows: list[Accepted | Rejected] = []
    for line in range(2, count + 2):
        if chance.random() < 0.1:
            rows.append(Rejected(line, "invalid_field", "score"))
            continue
        event = score_event(
            f"pupil {chance.randrange(20)}",
            item=f"quiz-{chance.randrange(6)}",
            score=chance.randrange(100),
            graded=NOW + minutes(chance.randrange(5)),
        )
        rows.append(Accepted(line, event))
    return rows


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_file_is_in_ledger_and_projection_and_every_row_in_the_accounts(
    scene: Scene, tmp_path: Path
) -> None:
    rows = rows_of(500)
    file = scene.file(rows, tmp_path)
    scene.straight().take(file)
    entry = file.entry
    assert (entry.read, entry.done) == (500, True)
    assert entry.accepted + entry.rejected == 500
    assert entry.rejected == sum(isinstance(row, Rejected) for row in rows)
    assert sum(entry.outcomes.values()) == entry.accepted == sum(scene.accounts().values())
    assert len(scene.stands()) == 20
    assert all(at_end(progress.committed) for progress in scene.ledger.progress().values())
    assert scene.ledger.floors() == {source: scene.projection.marks[source] for source in SOURCES}


def test_a_student_has_one_lane_and_both_lanes_have_students() -> None:
    keys = [score_event(f"pupil {n}").student_key for n in range(50)]
    assert {lane_of(key, 2) for key in keys} == {0, 1}
    assert [lane_of(key, 1) for key in keys] == [0] * 50


def test_a_finished_file_is_done_and_taken_again_nothing_moves(scene: Scene, tmp_path: Path) -> None:
    first = scene.file(rows_of(200), tmp_path)
    straight = scene.straight()
    assert not straight.done(SOURCES, first.entry)
    straight.take(first)
    assert straight.done(SOURCES, first.entry)
    accounts, states = scene.accounts(), scene.stands()
    again = scene.file(rows_of(200), tmp_path)
    scene.straight().take(again)
    assert (again.entry.accepted, again.entry.outcomes) == (first.entry.accepted, first.entry.outcomes)
    assert (scene.accounts(), scene.stands()) == (accounts, states)


def test_in_a_window_the_rows_of_a_state_stand_together_and_no_place_is_cut() -> None:
    rows = rows_of(500)
    found = [(window.before, list(window.rows)) for window in windows(rows, 120)]
    assert [before for before, _ in found] == [0, 120, 240, 360, 480]
    for before, whole in found:
        assert all(before < row.line <= before + 120 for row in whole)
        some = [row for row in whole if isinstance(row, Accepted)]
        part: Part = defaultdict(list)
        for row in some:
            part[place_of(row.event)].append(row)
        cut = list(pieces(before, part, 10))
        assert not part
        taken = [delivered for piece in cut for delivered in piece.events()]
        assert sorted(before + one.number for one in taken) == [row.line for row in some]
        keys = [delivered.key for delivered in taken]
        assert len([*itertools.groupby(keys)]) == len(set(keys))
        places = [{one.position for one in piece.events()} for piece in cut]
        assert all(max(before) < min(after) for before, after in itertools.pairwise(places))
        assert [piece.high for piece in cut] == [max(found) for found in places]
        assert all(len(piece.events()) >= 10 for piece in cut[:-1])


def test_a_place_does_not_depend_on_what_else_is_accepted() -> None:
    """Otherwise a run that goes on under other rules would skip rows that were never written."""
    for row in rows_of(50):
        if isinstance(row, Accepted):
            assert 0 < place_of(row.event) <= LAST_PLACE
            assert place_of(row.event) == place_of(msgspec.structs.replace(row.event, item_id="another"))


@pytest.mark.parametrize("kills", range(1, 60, 7))
def test_a_run_that_dies_at_any_transaction_ends_as_a_clean_one(
    scene: Scene, tmp_path: Path, kills: int
) -> None:
    clean = Scene()
    clean.straight().take(clean.file(rows_of(500), tmp_path))
    commit, commits = scene.ledger.commit, iter(range(10_000))

    def dying(batch: Batch) -> Committed:
        done = commit(batch)
        if next(commits) == kills:
            raise Fatal("killed before the answer came")
        return done

    scene.ledger.commit = dying  # type: ignore[method-assign]
    with pytest.raises(Fatal):
        scene.straight(5).take(scene.file(rows_of(500), tmp_path))
    scene.ledger.commit = commit  # type: ignore[method-assign]
    file = scene.file(rows_of(500), tmp_path)
    scene.straight(11).take(file)
    assert scene.stands() == clean.stands()
    outcomes = file.entry.outcomes
    assert sum(outcomes.values()) - outcomes["redelivered"] == file.entry.accepted
    assert outcomes["redelivered"] > 0, "what was committed and not projected is taken again"


@pytest.mark.parametrize("stops_at", [1, 60, 61, 250, 499])
def test_a_run_that_is_stopped_anywhere_goes_on_to_the_same_end(
    scene: Scene, tmp_path: Path, stops_at: int
) -> None:
    clean = Scene()
    clean.straight().take(clean.file(rows_of(500), tmp_path))

    def stopped(rows: Sequence[Accepted | Rejected]) -> Iterator[Accepted | Rejected]:
        for number, row in enumerate(rows):
            if number == stops_at:
                scene.stopping.ask()
            yield row

    broken = scene.file(rows_of(500), tmp_path)._replace(rows=stopped(rows_of(500)))
    with pytest.raises(Stopped):
        scene.straight().take(broken)
    assert not broken.entry.done
    scene.stopping = Stopping()
    file = scene.file(rows_of(500), tmp_path)
    scene.straight().take(file)
    assert scene.stands() == clean.stands()
    assert sum(file.entry.outcomes.values()) == file.entry.accepted
    assert file.entry.outcomes["redelivered"] == 0, "nothing was committed twice"


def test_an_error_of_one_lane_ends_both_and_is_told(scene: Scene, tmp_path: Path) -> None:
    straight = scene.straight()
    commit = scene.ledger.commit
    commits = iter(range(1_000))

    def failing(batch):  # type: ignore[no-untyped-def]
        if next(commits) == 3:
            raise Fatal("the schema is wrong")
        return commit(batch)

    scene.ledger.commit = failing  # type: ignore[method-assign]
    with pytest.raises(Fatal, match="the schema is wrong"):
        straight.take(scene.file(rows_of(500), tmp_path))


def test_a_lane_without_rows_ends_as_well(scene: Scene, tmp_path: Path) -> None:
    file = scene.file([Accepted(2, score_event())], tmp_path)
    scene.straight().take(file)
    assert file.entry.outcomes["applied"] == 1
    assert all(at_end(progress.committed) for progress in scene.ledger.progress().values())


@pytest.mark.parametrize("calls", range(1, 5))
def test_a_ledger_that_is_away_for_a_moment_is_waited_for(scene: Scene, tmp_path: Path, calls: int) -> None:
    """Whenever it is asked how far a source is: before the first row, and after the last."""
    progress, asked = scene.ledger.progress, itertools.count(1)

    def now_and_then() -> Mapping[str, Progress]:
        if next(asked) == calls:
            raise LedgerUnavailable
        return progress()

    scene.ledger.progress = now_and_then  # type: ignore[method-assign]
    file, straight = scene.file(rows_of(200), tmp_path), scene.straight()
    straight.take(file)
    assert straight.done(SOURCES, file.entry)
    assert sum(file.entry.outcomes.values()) == file.entry.accepted
    assert next(asked) > calls


def test_a_stop_ends_the_wait_for_a_server(scene: Scene, tmp_path: Path) -> None:
    lane = Lane(SOURCES[0], scene.world(), DECODER, Policy(), scene.stopping)
    scene.ledger.away = True
    scene.stopping.ask()
    with pytest.raises(Stopped):
        lane.put(None)
    lane.join()


def test_a_flood_of_refused_rows_ends_the_run_with_a_sentence() -> None:
    with pytest.raises(Refused, match="POISON_SHARE"):
        pause_of(Stopping())(5, PoisonFlood("501 poisoned events, 501 in a row"))


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_become_events_or_reasons_without_values(tmp_path: Path) -> None:
    bad = ["eve,algebra,quiz-1", ROW.replace(",5,", ",secret,"), ROW.replace("2026-03-01", "2036-03-01")]
    path = written(tmp_path / "a.csv", HEADER, ROW, *bad)
    first, *rest = decode(path, "", EDGE)
    assert isinstance(first, Accepted)
    assert first.event == score_event(score=5, max_score=10, at=first.event.occurred_at)
    assert rest == [
        Rejected(3, "not_a_row", None),
        Rejected(4, "invalid_field", "score"),
        Rejected(5, "time_out_of_range", "occurred_at"),
    ]


def test_lines_of_ndjson_that_are_none_say_why(tmp_path: Path) -> None:
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    good = {**row, "attempt": 1, "score": 5, "max_score": 10}
    path = written(tmp_path / "a.ndjson", json.dumps(good), "{", "[1]", json.dumps({**good, "score": True}))
    rows = list(decode(path, "", EDGE))
    assert isinstance(rows[0], Accepted)
    assert [row[1] for row in rows[1:]] == ["not_json", "invalid_field", "invalid_field"]


def test_the_list_of_rejected_rows_holds_lines_and_reasons(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path / "a.csv.gz", None)
    assert not rejects.path.exists(), "no list where nothing is rejected"
    rejects.add(Rejected(3, "not_a_row", None))
    rejects.add(Rejected(9, "invalid_field", "score"))
    rejects.close()
    assert rejects.path.name == "a.csv.gz.rejected.csv"
    assert rejects.path.read_text().split() == ["line,reason,field", "3,not_a_row,", "9,invalid_field,score"]
    Rejects(tmp_path / "a.csv.gz", None, keeps=False).add(Rejected(3, "not_a_row", None))
    assert rejects.path.exists(), "a dry run leaves the list of the last run"
    Rejects(tmp_path / "a.csv.gz", None)
    assert not rejects.path.exists(), "a list is always of one reading"


def test_a_file_is_known_by_content_and_reading(tmp_path: Path) -> None:
    one, copy = (inspect(written(tmp_path / name, HEADER, ROW)) for name in ("a.csv", "b.csv"))
    assert READING.sources(one) == READING.sources(copy)
    assert READING.sources(one)[0].startswith(f"file:{one.sha256}:1of1-")
    other = [
        READING.sources(inspect(written(tmp_path / "c.csv", HEADER, ROW, ROW))),
        *(READING._replace(**{field: "x"}).sources(one) for field in READING._fields),
    ]
    assert len({*map(tuple, other), tuple(READING.sources(one))}) == 6


def test_a_long_file_has_several_lanes() -> None:
    assert len(READING.sources(Input(Path("a.csv"), "00", 10_000))) == 1
    assert len(READING.sources(Input(Path("a.csv"), "00", 10_001))) == SHARES * LANES


def test_lines_are_counted_inflated_and_a_file_cut_short_is_told_before_anything(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW}\n{ROW}".encode() * 2_000
    (tmp_path / "a.csv.zst").write_bytes(packed := zstandard.compress(text))
    assert inspect(tmp_path / "a.csv.zst").lines == 4_001
    (tmp_path / "a.csv.zst").write_bytes(packed[:-9])
    with pytest.raises(OSError, match="cut short"):
        inspect(tmp_path / "a.csv.zst")


def test_a_folder_gives_its_files_and_not_the_lists_beside_them(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    for name in ("b.csv", "a.ndjson.gz", "b.csv.rejected.csv", "notes.txt"):
        (deep / name).touch()
    assert [path.name for path in find([tmp_path, deep / "b.csv"])] == ["a.ndjson.gz", "b.csv"]
    for wrong in (tmp_path / "gone.csv", deep / "notes.txt"):
        with pytest.raises(WrongArguments):
            find([wrong])
    (deep / "notes.txt").rename(tmp_path / "notes.txt")
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(WrongArguments, match="holds no file"):
        find([empty])


def test_a_manifest_remembers_the_moment_a_file_was_first_seen(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "manifest.json"
    manifest = Manifest(path)
    manifest.entry("file:x", Path("old.csv"), NOW, 5).read = 4
    manifest.save()
    again = Manifest(path).entry("file:x", Path("new.csv"), NOW + minutes(9), 5)
    assert (again.arrived_at, again.read, again.path) == (NOW, 4, "new.csv")


def test_a_file_that_is_no_manifest_is_refused_and_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "scores.csv", HEADER)
    with pytest.raises(WrongArguments, match="--manifest"):
        Manifest(path)
    assert path.read_text() == HEADER + "\n"


def over_stream(producer: MemoryProducer, folder: Path, rate: int | None = None) -> OverStream:
    return OverStream(producer, rate, Manifest(folder / "manifest.json"), Stopping(), iter([0.0] * 100))


def test_over_the_stream_the_events_go_as_they_are(scene: Scene, tmp_path: Path) -> None:
    producer, rows = MemoryProducer(), rows_of(100)
    file = scene.file(rows, tmp_path)
    way = over_stream(producer, tmp_path, rate=30)
    way._due = 0
    way.take(file._replace(rows=iter(rows[:25])))
    assert producer.sent == [row.event for row in rows[:25] if isinstance(row, Accepted)]
    assert way.done(SOURCES, file.entry)


def test_over_the_stream_a_run_goes_on_after_the_last_acknowledged_line(scene: Scene, tmp_path: Path) -> None:
    producer, rows = MemoryProducer(), rows_of(100)
    file = scene.file(rows, tmp_path)
    file.entry.sent = 40
    over_stream(producer, tmp_path).take(file)
    assert producer.sent == [row.event for row in rows if isinstance(row, Accepted) and row.line > 40]
    assert file.entry.sent == file.entry.lines


def test_a_stream_that_takes_nothing_is_waited_for(scene: Scene, tmp_path: Path) -> None:
    producer = MemoryProducer()
    send, tries = producer.send, iter([StreamUnavailable(), StreamUnavailable(), None])

    def patient(events):  # type: ignore[no-untyped-def]
        if (error := next(tries)) is not None:
            raise error
        send(events)

    producer.send = patient  # type: ignore[method-assign]
    over_stream(producer, tmp_path).take(scene.file([Accepted(2, score_event())], tmp_path))
    assert len(producer.sent) == 1


def test_a_dry_run_tells_the_difference_and_moves_nothing(scene: Scene, tmp_path: Path) -> None:
    file, report = scene.file(rows_of(300), tmp_path), Report("backfill", NOW, dry_run=True)
    show = Show(Console(file=io.StringIO()))
    run = Run(show, report, scene.stopping, dry_run=True, settings=lambda: load({}))
    way = Looking(run, scene.ledger, Difference(MemoryRegisters(scene.ledger)))
    assert not way.done(SOURCES, file.entry)
    way.take(file)
    way.conclude()
    assert file.entry.read == file.entry.accepted + file.entry.rejected == 300
    assert report.figures["events read"] == file.entry.accepted
    assert report.figures["attempts that would be new"] != 0
    assert not file.entry.done
    assert scene.ledger.progress() == {}


def test_what_a_lane_has_done_is_passed_over_and_counted() -> None:
    rows = rows_of(500)
    terms = Terms([ORIGIN, Position(120, 1 << 29)], 30, 120)
    words = list(deal(rows, terms))
    looked = [word for word in words if isinstance(word, Looked)]
    cut = [word for word in words if isinstance(word, Dealt)]
    assert [row for word in looked for row in word.rejected] == [
        row for row in rows if isinstance(row, Rejected)
    ]
    accepted = sum(word.accepted for word in looked)
    assert accepted == sum(isinstance(row, Accepted) for row in rows)
    passed = sum(word.passed for word in looked)
    assert passed + sum(len(word.piece.events()) for word in cut) == accepted
    assert passed > 0
    assert {word.lane for word in cut} == {0, 1}
    assert all(word.piece.high > terms.begun[word.lane] for word in cut)


def test_rejected_rows_come_in_the_order_of_their_lines_whoever_was_faster() -> None:
    rows = [Rejected(line, "invalid_field", "score") for line in range(2, 42)]
    parts = [rows[::2], [row for row in rows[1::2] if row.line < 30]]
    told = [
        ("slow", Filled(3, parts[0][:1], 5, 0)),
        ("fast", Filled(41, parts[1], 9, 3)),
        ("slow", Filled(20, parts[0][1:10], 0, 2)),
        ("slow", Filled(41, parts[0][10:], 1, 1)),
        ("fast", Filled(1 << 62, (), 0, 0)),
        ("slow", Filled(1 << 62, (), 0, 0)),
    ]
    words = list(in_order(told, 2))
    lines = [row.line for word in words for row in word.rejected]
    assert lines == sorted(row.line for part in parts for row in part)
    assert [sum(getattr(word, name) for word in words) for name in ("accepted", "moved")] == [15, 6]
    assert max(row.line for word in words[:2] for row in word.rejected) <= 3
