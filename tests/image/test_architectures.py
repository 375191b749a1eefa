"""ARM64, which the fleet runs on and this machine is not: what is compiled in the image exists for it too."""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from deploy.image import Image

_GLIBC = range(17, 37)
"""Debian 12 has 2.36."""


@pytest.fixture(scope="session")
def compiled(load_image: Image) -> dict[str, Distribution]:
    """The packages of the images that are made for a processor, by name and version."""
    folder = load_image.root / "opt/venv/lib/python3.11/site-packages"
    found = (PathDistribution(path) for path in folder.glob("*.dist-info"))
    return {
        f"{package.name}=={package.version}": package
        for package in found
        if not re.search(r"^Tag: .*-any$", package.read_text("WHEEL") or "", re.MULTILINE)
    }


def test_every_compiled_package_is_there_for_arm(compiled: dict[str, Distribution], tmp_path: Path) -> None:
    assert len(compiled) > 5, compiled
    report = tmp_path / "report.json"
    platforms = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in _GLIBC)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"),
            *("--report", str(report), "--target", str(tmp_path / "nowhere"), "--ignore-installed"),
            *("--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"),
            *(f"--platform={platform}" for platform in platforms),
            *compiled,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    chosen = [item["download_info"]["url"] for item in json.loads(report.read_text())["install"]]
    assert len(chosen) == len(compiled)
    assert [url for url in chosen if "aarch64" not in url] == []
