"""The Checkpointer port over kclpy's pipe, with KCL's errors named by what happens next."""

from typing import Any

import stamina
from amazon_kclpy.checkpoint_error import CheckpointError

from worker.domain.errors import CheckpointUnavailable, Fatal, LeaseLost
from worker.domain.position import Position

# Losing a lease is everyday life in a fleet: another worker has taken the shard.
_LOST = "ShutdownException"
_PASSES = ("ThrottlingException", "KinesisClientLibDependencyException")


class _Throttled(Exception):
    """DynamoDB refuses for the moment."""


class KclCheckpointer:
    """Checkpoints of one call of the daemon; valid only until that call's status is sent.

    Both numbers are always sent: with the sequence number alone KCL would store sub-sequence 0, and deliver
    the tail of an aggregate again.
    """

    def __init__(self, kcl: Any) -> None:
        self._kcl = kcl

    def checkpoint(self, position: Position) -> None:
        self._send(str(position.sequence), position.sub_sequence)

    def end(self) -> None:
        """The bare checkpoint at the end of a shard; without it the children never start.

        Raises:
            LeaseLost: another worker owns the shard.
            CheckpointUnavailable: not stored after retries.
        """
        self._send(None, None)

    def _send(self, sequence_number: str | None, sub_sequence_number: int | None) -> None:
        try:
            for attempt in stamina.retry_context(
                on=_Throttled, attempts=5, timeout=5.0, wait_initial=0.1, wait_max=1.0
            ):
                with attempt:
                    self._once(sequence_number, sub_sequence_number)
        except _Throttled as throttled:
            raise CheckpointUnavailable(str(throttled)) from None

    def _once(self, sequence_number: str | None, sub_sequence_number: int | None) -> None:
        try:
            self._kcl.checkpoint(sequence_number, sub_sequence_number)
        except CheckpointError as error:
            if error.value == _LOST:
                raise LeaseLost from None
            if error.value in _PASSES:
                raise _Throttled(error.value) from None
            msg = f"the daemon refused the checkpoint: {error.value}"
            raise Fatal(msg) from None
