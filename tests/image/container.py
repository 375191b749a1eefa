"""A container of the image as a task of Fargate is one: read-only, without rights, in a task's memory.

runc is what Docker and containerd start containers with; it needs neither of them.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from deploy.config import TaskSize
from deploy.image import Image

_PATIENCE = 120


def command(image: Image, *words: str) -> list[str]:
    """The words, or what the image runs by itself."""
    return list(words) or list(image.config["Cmd"])


class Container:
    """One container, which shares the machine's network and sees a folder of its own at `/run/keys`.

    Args:
        image: what it is made of.
        folder: where its description, its output and its runtime's state lie.
        words: what it runs; without any, what the image says.
        environment: beside the image's own.
        keys: the folder that it may read, handed to its user.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        *words: str,
        environment: Mapping[str, str] | None = None,
        keys: Path | None = None,
    ) -> None:
        self.name = f"edu-{uuid.uuid4().hex[:12]}"
        self.log = folder / f"{self.name}.log"
        self._runtime = ["runc", "--root", str(folder / "runc")]
        self._bundle = folder / self.name
        self._bundle.mkdir(parents=True)
        if keys is not None:
            user = int(image.config["User"].partition(":")[0])
            for path in (keys, *keys.iterdir()):
                os.chown(path, user, -1)
        description = _described(image, command(image, *words), environment or {}, keys)
        description["linux"]["cgroupsPath"] = f"/{self.name}"
        (self._bundle / "config.json").write_text(json.dumps(description))
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self._start(), check=False, capture_output=True, text=True, timeout=_PATIENCE)

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run something beside what runs already, as a health check does."""
        return subprocess.run(
            [*self._runtime, "exec", self.name, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )

    def stop(self) -> int:
        """SIGTERM to its first process, as ECS sends it; the exit code."""
        assert self._process is not None
        subprocess.run([*self._runtime, "kill", self.name, "TERM"], check=True)
        return self._process.wait(_PATIENCE)

    def said(self) -> str:
        """What it wrote so far."""
        return self.log.read_text()

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._start(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            subprocess.run([*self._runtime, "kill", self.name, "KILL"], check=False)
            self._process.wait(_PATIENCE)

    def wait(self, condition: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Poll until the condition holds; says what the container said if it does not."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not condition():
            ended = self._process.poll()
            assert ended is None, f"ended with {ended} before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"no {what} in {seconds} s:\n{self.said()}"
            time.sleep(0.1)

    def _start(self) -> list[str]:
        return [*self._runtime, "run", "--bundle", str(self._bundle), self.name]


def _described(
    image: Image, words: Sequence[str], environment: Mapping[str, str], keys: Path | None
) -> dict[str, Any]:
    user, _, group = image.config["User"].partition(":")
    told = dict(line.split("=", 1) for line in image.config["Env"]) | dict(environment)
    mounts = [
        _mount("/proc", "proc"),
        _mount("/dev", "tmpfs", "nosuid", "mode=755"),
        _mount("/dev/shm", "tmpfs", "nosuid", "nodev", "mode=1777"),
        *(_mount(volume, "tmpfs", "nosuid", "nodev", "mode=1777") for volume in image.config["Volumes"]),
    ]
    if keys is not None:
        mounts.append(
            {"destination": "/run/keys", "type": "bind", "source": str(keys), "options": ["bind", "ro"]}
        )
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(image.root), "readonly": True},
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": list(words),
            "env": [f"{name}={value}" for name, value in told.items()],
            "cwd": image.config["WorkingDir"],
            "noNewPrivileges": True,
        },
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "resources": {"memory": {"limit": TaskSize().memory * 2**20}},
        },
    }


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}
