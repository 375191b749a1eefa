"""Errors named by what happens next, so that every caller knows its move from the type alone.

`Poison` becomes a dead letter, `Unavailable` is waited out, `Fatal` ends the process before KCL hears that
the batch is done. Nothing else may leave the pipeline.
"""

import enum


class Reason(enum.StrEnum):
    """Why an event or record can never succeed as it is: the type of its dead letter."""

    NOT_JSON = "not_json"
    INVALID_UTF8 = "invalid_utf8"
    EMPTY_RECORD = "empty_record"
    BAD_COMPRESSION = "bad_compression"
    RECORD_TOO_LARGE = "record_too_large"
    EVENT_TOO_LARGE = "event_too_large"
    TOO_MANY_EVENTS = "too_many_events"
    UNKNOWN_ENVELOPE = "unknown_envelope"
    COUNT_MISMATCH = "count_mismatch"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    RATIO_OUT_OF_RANGE = "ratio_out_of_range"
    KEY_COLLISION = "key_collision"
    ERASED = "erased"
    REFUSED_BY_DATABASE = "refused_by_database"


class Poison(Exception):
    """The event or record can never succeed; it becomes a dead letter.

    Carries a reason and the *name* of the field at fault, never a value: values are education records.
    """

    def __init__(self, reason: Reason, field: str | None = None) -> None:
        super().__init__(reason if field is None else f"{reason}: {field}")
        self.reason = reason
        self.field = field


class PoisonBatch(Exception):
    """The ledger refused the batch for its data; bisect it and dead-letter the culprit."""


class PoisonFlood(Exception):
    """Too much of what arrives is poison: the shard halts until the decoder is mended or the limit raised."""


class Unavailable(Exception):
    """A dependency is away; wait with jitter and try again, drop nothing."""


class LedgerUnavailable(Unavailable):
    """PostgreSQL cannot be reached or refuses work for now; wait and retry from the start of the batch."""


class ProjectionUnavailable(Unavailable):
    """Redis cannot be reached or refuses work for now; retry, then go on with the ledger alone."""


class StreamUnavailable(Unavailable):
    """Kinesis throttles or cannot be reached; wait and send the same records again."""


class StreamThrottled(StreamUnavailable):
    """The read quota of a shard, which all its readers share, is used up for the moment; read slower."""


class CheckpointUnavailable(Unavailable):
    """The checkpoint could not be stored; the next one covers it."""


class LeasesUnavailable(Unavailable):
    """KCL's tables cannot be reached or refuse work for now; look again later."""


class LeaseLost(Exception):
    """Another worker owns the shard now; drop what is unfinished and wait for the end."""


class Fatal(Exception):
    """The process must end before it reports the batch as done, so that the records are delivered again."""


class LedgerBehindCheckpoint(Fatal):
    """The stream's checkpoint is past the ledger: PostgreSQL was restored or emptied.

    Going on would leave a gap for good. Start a new ledger epoch and replay from before the restore point.
    """


class ChainBroken(Exception):
    """Redis changed under a sweep (a failover or another sweep); start the sweep over."""
