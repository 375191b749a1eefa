"""`python -m benchmarks.sampler FILE MODULE ...`: runs a module and counts the stacks that use the processor.

A timer of the kernel that runs only while the process is on a processor tells when to look, so that neither
waiting for a server nor for a processor that somebody else has counts, as they do for who looks from outside.
It counts between one SIGUSR2 and the next. The stacks are written at the end, one a line with its count, as
flame graphs are commonly kept.
"""

import atexit
import runpy
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType

BEGIN_OR_END = signal.SIGUSR2
SECONDS = 0.004
"""As often as the kernel's clock ticks; it cannot look more often."""
_PACKAGES = ("site-packages/", "lib/python3.")


class Sampler:
    """Counts the main thread's stacks while the process computes.

    Args:
        path: the file.
        root: paths below it are told from there.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = f"{root}/"
        self._on = False
        self._found: Counter[tuple[CodeType, ...]] = Counter()

    def listen(self) -> None:
        """Begin and end when told so, write at the end of the process."""
        signal.signal(signal.SIGPROF, self._look)
        signal.signal(BEGIN_OR_END, self._turn)
        atexit.register(self._write)

    def _turn(self, _signal: int, _frame: FrameType | None) -> None:
        self._on = not self._on
        signal.setitimer(signal.ITIMER_PROF, *((SECONDS, SECONDS) if self._on else (0.0, 0.0)))

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._found[tuple(reversed(stack))] += 1

    def _write(self) -> None:
        lines = [f"{';'.join(map(self._named, stack))} {count}" for stack, count in self._found.items()]
        self._path.write_text("\n".join(lines))

    def _named(self, code: CodeType) -> str:
        """A function and its file, as short as the file's package."""
        file = code.co_filename.removeprefix(self._root)
        for folder in _PACKAGES:
            file = file.rpartition(folder)[2]
        return f"{code.co_qualname} ({file})"


def main(argv: Sequence[str]) -> None:
    """Run the module with its arguments; ends as it ends."""
    path, module, *arguments = argv
    Sampler(Path(path), Path(__file__).parents[1]).listen()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
