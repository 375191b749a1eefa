"""The ClassStore port in two dictionaries."""

import time
from collections.abc import Callable, Sequence

from worker.domain.errors import ProjectionUnavailable


class MemoryClasses:
    """Class figures without Redis; `away` makes every call raise, and nothing ever ends by age."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.away = False
        self.bodies: dict[tuple[str, str], bytes] = {}
        self._looks: dict[str, float] = {}
        self._clock = clock

    def get(self, kind: str, course_id: str) -> bytes | None:
        self._reach()
        return self.bodies.get((kind, course_id))

    def put(self, kind: str, course_id: str, body: bytes) -> None:
        self._reach()
        self.bodies[kind, course_id] = body

    def drop(self, kind: str, courses: Sequence[str]) -> None:
        self._reach()
        for course in courses:
            self.bodies.pop((kind, course), None)

    def want(self, course_id: str) -> None:
        self._reach()
        self._looks[course_id] = self._clock()

    def wanted(self, within_seconds: int) -> Sequence[str]:
        self._reach()
        since = self._clock() - within_seconds
        self._looks = {course: at for course, at in self._looks.items() if at >= since}
        return sorted(self._looks, key=lambda course: (self._looks[course], course))

    def close(self) -> None:
        pass

    def _reach(self) -> None:
        if self.away:
            raise ProjectionUnavailable
