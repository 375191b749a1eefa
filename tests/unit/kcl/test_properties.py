"""The properties file: only keys that KCL reads, only values that it does not skip."""

import dataclasses
import importlib.util
import zipfile
from pathlib import Path

import pytest

from worker.kcl.properties import KEYS, PRIMITIVE_KEYS, DaemonProperties, render

LOCAL = DaemonProperties(
    executable_name="python -u -m worker shard",
    application_name="edu-analytics",
    stream_name="edu-analytics-stream",
    region_name="ap-northeast-1",
    worker_id="w1",
    kinesis_endpoint="http://127.0.0.1:4566",
    dynamodb_endpoint="http://127.0.0.1:4566",
    cloudwatch_endpoint="http://127.0.0.1:4566",
    disable_worker_metrics=True,
    metrics_level="NONE",
)
PRODUCTION = dataclasses.replace(
    LOCAL,
    kinesis_endpoint=None,
    dynamodb_endpoint=None,
    cloudwatch_endpoint=None,
    disable_worker_metrics=False,
    metrics_level="SUMMARY",
)


def rendered(properties: DaemonProperties) -> dict[str, str]:
    """What java.util.Properties would read from the file, escapes aside."""
    return dict(line.split(" = ", 1) for line in render(properties).splitlines())


@pytest.mark.parametrize("properties", [LOCAL, PRODUCTION])
def test_every_rendered_key_is_one_that_kcl_reads(properties: DaemonProperties) -> None:
    assert set(rendered(properties)) <= KEYS


def test_every_key_exists_in_the_installed_kcl() -> None:
    package = importlib.util.find_spec("amazon_kclpy")
    assert package is not None
    assert package.submodule_search_locations is not None
    jars = Path(package.submodule_search_locations[0], "jars")
    (jar,) = jars.glob("amazon-kinesis-client-multilang-*.jar")
    with zipfile.ZipFile(jar) as classes:
        names = [name for name in classes.namelist() if "multilang/config/" in name or "DaemonConfig" in name]
        code = b"".join(classes.read(name) for name in names)
    for key in KEYS:
        field = key.partition(".")[0]
        setter = f"set{field[0].upper()}{field[1:]}"
        assert setter.encode() in code or field.encode() in code, key


def test_what_the_fleet_relies_on() -> None:
    file = rendered(PRODUCTION)
    assert file["initialPositionInStream"] == "TRIM_HORIZON"
    assert file["retrievalMode"] == "POLLING"
    assert file["callProcessRecordsEvenForEmptyRecordList"] == "true"
    assert file["AwsCredentialsProvider"] == "DefaultCredentialsProvider"
    assert file["shutdownGraceMillis"] == "45000"
    assert file["disableWorkerMetrics"] == "false"
    assert "timeoutInSeconds" not in file
    assert not any("ndpoint" in key for key in file)


def test_endpoints_of_an_emulator() -> None:
    file = rendered(LOCAL)
    for key in ("kinesisEndpoint", "dynamoDBEndpoint", "cloudWatchClient.endpointOverride"):
        assert file[key] == "http://127.0.0.1:4566"


@pytest.mark.parametrize("properties", [LOCAL, PRODUCTION])
def test_no_value_is_one_that_kcl_skips(properties: DaemonProperties) -> None:
    file = rendered(properties)
    assert not [key for key in PRIMITIVE_KEYS & set(file) if file[key] in ("0", "false")]


@pytest.mark.parametrize(
    "properties",
    [
        dataclasses.replace(LOCAL, shutdown_grace_millis=0),
        dataclasses.replace(LOCAL, shard_sync_millis=0),
        dataclasses.replace(LOCAL, max_records=0),
    ],
)
def test_a_value_that_kcl_would_skip_is_an_error(properties: DaemonProperties) -> None:
    with pytest.raises(ValueError, match="KCL skips it"):
        render(properties)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("C:\\jars", "C:\\\\jars"),
        (" led by a blank", "\\ led by a blank"),
        ("a=b:c#d!", "a=b:c#d!"),
        ("two\nlines\t", "two\\u000alines\\u0009"),
        ("Zürich", "Z\\u00fcrich"),
        ("\U0001f393", "\\ud83c\\udf93"),
    ],
)
def test_values_are_escaped(value: str, written: str) -> None:
    text = render(dataclasses.replace(LOCAL, stream_name=value))
    assert f"streamName = {written}\n" in text
    assert text.isascii()
