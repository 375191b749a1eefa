"""When the daemon is started again, and when it is given up.

A daemon that dies once is back within seconds; one that cannot live must not hammer DynamoDB with starts, and
must end the task while the alarm still means something. Arithmetic on times, without a clock of its own.
"""

import dataclasses

_MOST_DOUBLINGS = 30


@dataclasses.dataclass(frozen=True)
class RestartPolicy:
    """A value that is told the time; each exit gives a new one.

    Every exit counts, exit code 0 included: KCL also ends that way when it could not initialise.

    Args:
        crash_limit: the daemon is given up at this many exits within the window.
        crash_window_seconds: the time in which they count.
        first_seconds: the pause after the first exit; it doubles with each that follows.
        longest_seconds: the longest pause.
        calm_seconds: a life of this length starts the doubling anew.
        exits: times of the exits within the window.
        streak: exits since the last long life.
    """

    crash_limit: int = 10
    crash_window_seconds: float = 600.0
    first_seconds: float = 1.0
    longest_seconds: float = 30.0
    calm_seconds: float = 60.0
    exits: tuple[float, ...] = ()
    streak: int = 0

    def after_exit(self, started: float, now: float) -> "RestartPolicy":
        """The policy after the exit of a daemon that lived from `started` to `now` (monotonic seconds)."""
        recent = tuple(at for at in self.exits if now - at < self.crash_window_seconds)
        streak = 1 if now - started >= self.calm_seconds else self.streak + 1
        return dataclasses.replace(self, exits=(*recent, now), streak=streak)

    @property
    def gives_up(self) -> bool:
        """Whether the daemon died too often to be started again."""
        return len(self.exits) >= self.crash_limit

    def pause_seconds(self, jitter: float) -> float:
        """How long to wait before the next start; `jitter` in [0, 1) takes up to half of it away."""
        doublings = min(max(self.streak - 1, 0), _MOST_DOUBLINGS)
        full: float = min(self.longest_seconds, self.first_seconds * 2**doublings)
        return full * (1 - jitter / 2)
