"""The image where no Docker engine is: `python -m deploy.image`, as root, on a Debian.

The same Dockerfile as everywhere, so that a machine without a registry can prove it. The base is a minimal
Debian of mmdebstrap's, which stands for `debian:bookworm-slim`; buildah builds in a chroot and keeps layers
as plain folders, because that needs nothing of the kernel. Everything lies in one folder of its own. The load
test's image is built upon the finished one of all others, so that it takes seconds more.
"""

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent.parent
STATE = SOURCE / ".local" / "image"
PACKAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "runc": "runc"}
"""The programs that build and run the image, and the packages of Debian that bring them."""

LOAD = "load"
"""The Dockerfile's target with what the load test draws with; its tag is the other's, and this."""

LARGEST_MIB = 400
"""A task pulls the image at each start. This is what it holds plus a tenth; a development tool or the local
stack that got in by mistake is larger than the tenth."""

LARGEST_LOAD_MIB = 530
"""The same of the load test's, which one task pulls by hand now and then."""

_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_UNWANTED = ("doc", "info", "locale", "man")
_LIKE_THE_OFFICIAL_ONE = (
    "--variant=apt",
    # a merged /usr from the beginning: else usrmerge brings the whole of Perl along
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--include=usr-is-merged",
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=force-unsafe-io",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNWANTED),
)


@dataclass(frozen=True)
class Image:
    """A built image: its name, its configuration, and its file system, which is only to be read."""

    name: str
    config: dict[str, Any]
    root: Path

    @property
    def mib(self) -> float:
        """What its files hold."""
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_size for path in files) / 2**20


def build(state: Path = STATE, *, load: bool = False) -> Image:
    """Build the image, or the load test's, unless this very one is there.

    Raises:
        CalledProcessError: a step failed; what it said is on stderr.
    """
    state = state.resolve()
    with _alone(state):
        name = f"localhost/edu-analytics:{_fingerprint()}"
        if not _is_there(state, name):
            _make(state, name)
        if load:
            # upon the very one that is there: buildah would else build each stage below it again
            upon = f"--build-context=worker=container-image://{name}"
            name = f"{name}-{LOAD}"
            if not _is_there(state, name):
                _dockerfile(state, name, f"--target={LOAD}", upon)
        described = json.loads(_buildah(state, "inspect", "--type=image", name))
        container = _container(state, name)
        # layers are plain folders: nothing is mounted, and nothing need be unmounted
        return Image(name, described["Docker"]["config"], Path(_buildah(state, "mount", container)))


def _container(state: Path, name: str) -> str:
    known = json.loads(_buildah(state, "containers", "--json") or "[]") or []
    names = [entry["containername"] for entry in known if entry["imagename"] == name]
    return names[0] if names else _buildah(state, "from", "--pull=never", name)


def _is_there(state: Path, name: str) -> bool:
    return bool(_buildah(state, "images", "--quiet", "--filter", f"reference={name}"))


def _make(state: Path, name: str) -> None:
    for image in _buildah(state, "images", "--quiet").split():
        _buildah(state, "rmi", "--force", image)
    base = state / "base.tar"
    if not base.exists():
        unfinished = base.with_suffix(".unfinished")
        _run("mmdebstrap", "--quiet", "--format=tar", *_LIKE_THE_OFFICIAL_ONE, "bookworm", str(unfinished))
        unfinished.rename(base)
    container = _buildah(state, "from", "scratch")
    _buildah(state, "add", container, str(base), "/")
    _buildah(state, "commit", "--quiet", "--rm", container, "localhost/base")
    _dockerfile(state, name)


def _dockerfile(state: Path, name: str, *chosen: str) -> None:
    secrets = [f"--secret=id=authorities,src={_AUTHORITIES}"] if _AUTHORITIES.exists() else []
    _buildah(
        state,
        "build",
        "--quiet",
        "--isolation=chroot",
        # the format of OCI knows no health check
        "--format=docker",
        "--jobs=2",
        "--pull=never",
        *secrets,
        "--build-arg=BASE_IMAGE=localhost/base",
        *chosen,
        f"--tag={name}",
        str(SOURCE),
    )


def _fingerprint() -> str:
    """Of everything that the image is made of."""
    ignored = (SOURCE / ".dockerignore").read_text().splitlines()
    seen = hashlib.sha256()
    for name in ("Dockerfile", ".dockerignore", *(line[1:] for line in ignored if line.startswith("!"))):
        top = SOURCE / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(
                    f"{path.relative_to(SOURCE)}\0".encode() + hashlib.sha256(path.read_bytes()).digest()
                )
    return seen.hexdigest()[:12]


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _buildah(state: Path, *arguments: str) -> str:
    where = [f"--root={state / 'storage'}", f"--runroot={state / 'run'}", "--storage-driver=vfs"]
    return _run("buildah", *where, *arguments, scratch=state / "scratch")


def _run(*command: str, scratch: Path | None = None) -> str:
    environment = dict(os.environ)
    if scratch is not None:
        scratch.mkdir(exist_ok=True)
        # buildah keeps the cache mounts there
        environment["TMPDIR"] = str(scratch)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build both, and say how large they are; exit code 1 when one is too large."""
    argparse.ArgumentParser(prog="python -m deploy.image", description=__doc__).parse_args(arguments)
    small = True
    for load, most in ((False, LARGEST_MIB), (True, LARGEST_LOAD_MIB)):
        image = build(load=load)
        print(f"{image.name}: {image.mib:.0f} MiB of at most {most}, in {image.root}")  # noqa: T201
        small &= image.mib <= most
    return 0 if small else 1


if __name__ == "__main__":
    sys.exit(main())
