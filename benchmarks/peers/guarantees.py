"""What each figure stands for: what a peer is given, what it promises, what of our work it leaves undone."""

from collections.abc import Mapping

GUARANTEES: Mapping[str, str] = {
    "ours": (
        "exactly once in effect, at every crash point; attempts out of order, regraded and taken back end in "
        "the same rows; windows of 20 attempts and 30 days by the time of the attempt; poison in encrypted "
        "dead letters; erasure; pseudonyms; counters that close; checkpoint <= Redis <= PostgreSQL"
    ),
    "kclpy sample": (
        "at least once while nothing fails, at most once when something does: kclpy reports a call that "
        "raised as done. One row an event, so a redelivery, a copy, a regrade and a void are further rows; "
        "last 20 scores by arrival; raw student ids; no dead letters, no erasure, no order between "
        "PostgreSQL, Redis and checkpoint"
    ),
    "kclpy batched": "as the sample; a call is one transaction in PostgreSQL, and Redis follows or does not",
    "async-kinesis": (
        "at least once record by record; a list still being filled is lost by a crash, and a queue without "
        "room for 30 seconds drops records. No KCL: leases by heartbeats in Redis. Otherwise as the sample"
    ),
    "Pathway": (
        "at least once, exactly once with a licence for enterprises (its README); state in memory, so a "
        "restart reads again from the beginning unless persistence is set up. One process, no leases. No "
        "Redis. pw.io.kinesis asks for a licence key"
    ),
    "Pathway, rows": "one row an event, copies and corrections as further rows; no scores at all",
    "Pathway, rows and means": "besides, the mean of all scores ever; corrections and copies count in it",
    "Pathway, registers and windows": (
        "the last grading of each attempt and the mean of the last 20 that stand, the nearest to our work: "
        "without windows of days, Redis, pseudonyms, dead letters, erasure, counters, and exactly once"
    ),
}

INPUT = (
    "The same events for all, drawn from one seed: 100,000 students, 2 of 200 courses each, the n-th busiest "
    "with a share of 1/sqrt(n); 94% new, 2.5% regraded, 1% voided, 2.5% copies. Plain JSON is one event a "
    "record, a list is 125 in a record, an envelope 125 compressed. A call of the daemon holds 2,000 events "
    "whatever their form."
)
