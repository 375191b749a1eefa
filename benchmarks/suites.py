"""The suites in the order in which they are run and shown: what each answers, and how to look quickly.

The page shows every one of them, so that a figure nobody has taken yet is seen to be missing.
"""

from typing import NamedTuple


class Suite(NamedTuple):
    """A suite.

    Attributes:
        name: its module, and its file of results.
        goal: the promises it answers; "" for one that answers none of the ten.
        about: what is promised, in words.
        minutes: about so long on two cores.
        quick: its arguments for a look of a minute.
    """

    name: str
    goal: str
    about: str
    minutes: int
    quick: tuple[str, ...]


_TASK = ("--events", "20000", "--rounds", "1", "--students", "1000", "--sample", "100")
_PEERS = ("--events", "5000", "--few", "500", "--rounds", "1", "--seconds", "3")
_REPLAY = ("--events", "50000", "--normal", "10")

SUITES = (
    Suite("task", "P1", "what one worker task of half a core takes", 4, _TASK),
    Suite("latency", "P2", "how soon readers find an event", 15, ("--quick",)),
    Suite("peers", "P3", "beside other ways to do the same", 15, _PEERS),
    Suite("hotpath", "", "where the CPU of an event goes", 2, ("--quick",)),
    Suite("memory", "P4", "what a task needs of memory", 65, ("--quick",)),
    Suite("api", "P5", "what the API takes, and how soon it answers", 4, ("--seconds", "3", "--rounds", "1")),
    Suite("backfill", "P6", "how fast files become scores, and Redis is made anew", 4, ("--quick",)),
    Suite("growth", "P7", "what an event costs in a ledger that has grown", 15, ("--quick",)),
    Suite("cost", "P8", "what a million events cost", 1, ("--quick",)),
    Suite("start", "P9", "how soon a task is at work", 5, ("--quick",)),
    Suite("scale", "P10", "a plan to a million events a second and 100 million students", 1, ("--quick",)),
    Suite("replay", "", "what a replay costs the live traffic beside it", 8, _REPLAY),
)

BESIDE_OTHERS = {"memory": ("--minutes", "30")}
"""Arguments of a suite that is run with all others, where by itself it takes longer than all of them."""
