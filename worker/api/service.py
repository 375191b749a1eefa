"""Everything the routes need, as one object that starts and stops with the process."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from worker.api.access import Caller
from worker.api.classes import Classes
from worker.api.collecting import Collector
from worker.api.desk import Clerk, Desk
from worker.api.freshness import Freshness
from worker.api.ingest import Edge
from worker.api.scores import Scores
from worker.api.signing_in import SigningIn
from worker.api.tokens import Doorkeeper
from worker.api.views import Views
from worker.domain.errors import Unavailable
from worker.domain.identity import Identity
from worker.logs import redact

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_SHARDS_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Service:
    """The parts of one API process.

    Args:
        doorkeeper: checks who somebody is.
        identity: pseudonyms, to find a student's states.
        edge: decodes what is sent.
        collector: sends it.
        desk: reads and records.
        classes: class figures.
        scores: answers about one student.
        views: answers about many.
        freshness: how far the projection is behind.
        signing_in: the way to the identity provider and back.
        now: the present, aware.
        class_seconds: how often class figures are looked at again.
        close: gives shared connections back at the end.
        checkers: the threads that check tokens.
    """

    doorkeeper: Doorkeeper
    identity: Identity
    edge: Edge
    collector: Collector
    desk: Desk
    classes: Classes
    scores: Scores
    views: Views
    freshness: Freshness
    signing_in: SigningIn
    now: Callable[[], datetime]
    class_seconds: float
    close: Callable[[], None] = lambda: None
    checkers: ThreadPoolExecutor = dataclasses.field(
        default_factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="checker")
    )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all parts; at the end what waits is sent, answered and anchored."""
        self.desk.start()
        self.collector.start()
        chores = [
            asyncio.create_task(_every(_SHARDS_SECONDS, self.freshness.look_at_shards), name="shards"),
            asyncio.create_task(_every(_LOOK_SECONDS, self.freshness.look), name="watermarks"),
            asyncio.create_task(self._refresh_classes(), name="classes"),
        ]
        try:
            yield
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self.collector.close()
            await asyncio.to_thread(self.desk.close)
            self.checkers.shutdown(wait=False, cancel_futures=True)
            self.close()

    async def known_as(self, student_id: str, realm: str) -> UUID:
        """The student's pseudonym in the ledger; while a re-keying goes on it may be of either key."""
        present = self.identity.pseudonym(student_id, realm)
        if len(self.identity.kids) == 1:
            return present
        either = self.identity.pseudonyms(student_id, realm)
        try:
            found = await self.desk.work(lambda clerk: clerk.records.canonical(either))
        except Unavailable:
            return present
        return found or present

    async def check(self, token: str) -> Caller:
        """Who sent this token.

        On threads of its own: an identity provider that hangs must hold neither the loop nor the way into
        the stream.

        Raises:
            Unauthorized, Away: as `Doorkeeper.by_token`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.checkers, self.doorkeeper.by_token, token)

    async def _refresh_classes(self) -> None:
        def refresh(clerk: Clerk) -> int:
            return self.classes.refresh(clerk)

        while True:
            await asyncio.sleep(self.class_seconds)
            try:
                await self.desk.work(refresh)
            except Unavailable as error:
                _log.info("class figures wait", extra={"error": redact(error)})
            except Exception as error:
                _log.error("class figures not computed", extra={"error": redact(error)})


async def _every(seconds: float, step: Callable[[], None]) -> None:
    while True:
        try:
            await asyncio.to_thread(step)
        except Exception as error:
            _log.error("a look at the stream failed", extra={"error": redact(error)})
        await asyncio.sleep(seconds)
