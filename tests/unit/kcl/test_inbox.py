"""The pipe of the daemon: whole lines however they come, and a word while none does."""

import os
import threading
from collections.abc import Iterator

import pytest

from worker.kcl.inbox import Inbox


class Pipe:
    """Both ends, and how often the reader said that it waits."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.idle = 0
        self.inbox = Inbox(self.reader, self.note, 0.01)
        self.after: dict[int, bytes | None] = {}

    def note(self) -> None:
        """One word; what `after` says comes then, None the end."""
        self.idle += 1
        if self.idle in self.after:
            text = self.after[self.idle]
            if text is None:
                self.end()
            else:
                os.write(self.writer, text)

    def end(self) -> None:
        os.close(self.writer)
        self.writer = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)
    if made.writer >= 0:
        made.end()


def test_lines_that_wait_are_read_one_by_one_and_nobody_is_idle(pipe: Pipe) -> None:
    os.write(pipe.writer, b"one\n\ntwo\n")
    assert [pipe.inbox.readline() for _ in range(3)] == ["one\n", "\n", "two\n"]
    assert pipe.idle == 0


def test_who_waits_says_so_again_and_again(pipe: Pipe) -> None:
    pipe.after = {5: b"late\n"}
    assert pipe.inbox.readline() == "late\n"
    assert pipe.idle == 5


def test_a_line_in_pieces_is_one_line(pipe: Pipe) -> None:
    text = '{"name": "\u00e9\u6f22"}\n'.encode()
    pipe.after = {n: text[n - 1 : n] for n in range(1, len(text) + 1)}
    assert pipe.inbox.readline() == text.decode()


def test_a_line_larger_than_the_pipe(pipe: Pipe) -> None:
    line = b"x" * 3_000_000 + b"\n"

    def write() -> None:
        left = memoryview(line + b"next\n")
        while left:
            left = left[os.write(pipe.writer, left) :]

    writing = threading.Thread(target=write)
    writing.start()
    assert pipe.inbox.readline() == line.decode()
    assert pipe.inbox.readline() == "next\n"
    writing.join()


def test_the_end_of_the_pipe_is_an_empty_line(pipe: Pipe) -> None:
    os.write(pipe.writer, b"whole\nhal")
    pipe.after = {1: b"f", 2: None}
    assert pipe.inbox.readline() == "whole\n"
    assert pipe.inbox.readline() == "half"
    assert pipe.inbox.readline() == ""
    assert pipe.inbox.readline() == ""
