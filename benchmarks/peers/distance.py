"""The servers a millisecond away, as they are in a cloud, where the next server is not on the same machine.

On one machine a round trip costs next to nothing, and so does a program that makes one for each record. The
relay passes on what it gets, requests later by a fixed time and answers at once.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_CHUNK = 1 << 16

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Two servers, so many seconds away; a loop of its own until closed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    def postgres(self, url: str, folder: Path) -> str:
        """The database behind a socket in `folder`; how it is reached."""
        where = {key: str(value) for key, value in conninfo_to_dict(url).items()}
        name = f".s.PGSQL.{where.get('port', '5432')}"
        folder.mkdir(parents=True, exist_ok=True)
        far = str(Path(where["host"]) / name)
        answer = self._answering(lambda: asyncio.open_unix_connection(far))
        self._run(asyncio.start_unix_server(answer, str(folder / name)))
        return make_conninfo(**{**where, "host": str(folder)})

    def redis(self, url: str) -> str:
        """The server behind a port of its own; its URL."""
        far = urlsplit(url)
        answer = self._answering(lambda: asyncio.open_connection(far.hostname, far.port))
        server = self._run(asyncio.start_server(answer, "127.0.0.1", 0))
        return f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}{far.path}"

    def close(self) -> None:
        """Stop passing on; no connection is left open."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        passing = asyncio.all_tasks() - {asyncio.current_task()}
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    def _run(self, step: Awaitable[asyncio.Server]) -> asyncio.Server:
        async def made() -> asyncio.Server:
            return await step

        server = asyncio.run_coroutine_threadsafe(made(), self._loop).result()
        self._servers.append(server)
        return server

    def _answering(self, connect: Callable[[], Awaitable[Pair]]) -> Callable[..., Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with _ended(writer):
                far_reader, far_writer = await connect()
                async with _ended(far_writer), asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(reader, far_writer, self._seconds))
                    both.create_task(self._pass_on(far_reader, writer, 0.0))

        return answer

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
    ) -> None:
        with suppress(OSError):  # a connection that is reset has ended as well
            while data := await reader.read(_CHUNK):
                if seconds:
                    self._loop.call_later(seconds, writer.write, data)
                else:
                    writer.write(data)
        self._loop.call_later(seconds, writer.close)


@asynccontextmanager
async def _ended(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """A connection that is gone at the end: after all that was to be sent, at once when it is cut short."""
    try:
        yield
        writer.close()
    except BaseException:
        writer.transport.abort()
        raise
    finally:
        with suppress(OSError):
            await writer.wait_closed()


@contextmanager
def away(seconds: float, environment: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """The same environment with both servers so far away."""
    relay = Relay(seconds)
    try:
        yield {
            **environment,
            "DATABASE_URL": relay.postgres(environment["DATABASE_URL"], folder),
            "REDIS_URL": relay.redis(environment["REDIS_URL"]),
        }
    finally:
        relay.close()
