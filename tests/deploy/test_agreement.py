"""Platform and product, which import nothing of each other, mean the same by the same words."""

import json
import re
import string
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from deploy import local
from deploy.api import CALLER_HEADER, SECRET_HEADER
from deploy.image import LOAD, SOURCE
from deploy.people import ROLES
from deploy.refusals import GIVE_BACK_SECONDS, LEAVE_SECONDS, SUPERVISOR_MARGIN_SECONDS
from deploy.rotating import names
from deploy.security import LETTERS
from scripts import retention
from tests.deploy.synthesis import Synthesis, synthesis, texts
from worker import cli, product_metrics
from worker.adapters.aurora import rights
from worker.adapters.aurora.statements import statements
from worker.adapters.vault import CONTEXT
from worker.api import tokens
from worker.api.access import Role
from worker.kcl.supervisor import SupervisorConfig
from worker.local.platform import PLATFORM
from worker.settings import ApiSettings, Settings, load, load_api, variable
from worker.wiring_api import doorkeeper

NOT_OURS = {"HOME", "MALLOC_ARENA_MAX", "PGSSLROOTCERT"}
"""Variables that the system, glibc and libpq read."""


def _told(platform: Synthesis, name: str) -> dict[str, str]:
    """The container's environment; what CloudFormation fills in is a text of its own."""
    told = platform.environment(name)
    return {
        key: value if isinstance(value, str) else f"https://filled.in/{key}" for key, value in told.items()
    }


def test_the_worker_accepts_its_settings(anywhere: Synthesis) -> None:
    settings = load(_told(anywhere, "worker"))
    assert settings.max_leases == anywhere.config.max_leases
    assert settings.stream_name == anywhere.config.stream_name


def test_the_api_accepts_its_settings(anywhere: Synthesis) -> None:
    settings = load_api(_told(anywhere, "api"))
    assert settings.claim_student_id == "custom:student_id"


@pytest.mark.parametrize(("name", "form"), [("worker", Settings), ("api", ApiSettings)])
def test_nobody_is_told_what_they_do_not_know(anywhere: Synthesis, name: str, form: type[Settings]) -> None:
    known = {variable(field.name) for field in msgspec.structs.fields(form)}
    assert set(anywhere.environment(name)) - known <= NOT_OURS


def test_the_api_believes_the_producers_of_the_platform() -> None:
    told = _told(synthesis("other"), "api") | {"GATEWAY_SECRET_ID": "", "GATEWAY_SECRET": "word"}
    arn = "arn:aws:iam::111122223333:role/lms"
    caller = doorkeeper(load_api(told)).by_gateway([arn], ["word"])
    assert (caller.realm, caller.sources) == ("north", frozenset(("lms",)))


def test_the_gateway_and_the_service_name_headers_alike() -> None:
    assert (CALLER_HEADER, SECRET_HEADER) == (tokens.CALLER_HEADER, tokens.SECRET_HEADER)


def test_the_product_names_the_context_that_roles_are_bound_to() -> None:
    assert CONTEXT == LETTERS


def test_every_group_is_a_role() -> None:
    # producers are machines, known by their signatures
    assert set(ROLES) == {str(role) for role in Role} - {"producer"}


def test_the_time_of_a_stop_is_the_supervisors() -> None:
    fields = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    assert fields["give_back_seconds"] == GIVE_BACK_SECONDS
    assert SupervisorConfig.stop_margin_seconds == SUPERVISOR_MARGIN_SECONDS
    assert SupervisorConfig.leave_seconds == LEAVE_SECONDS


def test_the_role_and_its_users_are_called_alike() -> None:
    assert names.APPLICATION_ROLE == rights.ROLE
    assert names.APPLICATION_ROLE in statements("rights")["role"].decode()


def test_migrations_are_given_what_they_read(anywhere: Synthesis) -> None:
    known = {variable(field.name) for field in msgspec.structs.fields(Settings)}
    for task in anywhere.properties("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            given = {secret["Name"] for secret in container.get("Secrets", ())}
            assert given <= known
            assert not given or given == {"OWNER_SECRET", "APPLICATION_SECRET"}


def _product_metrics(value: Any) -> Iterator[tuple[str, str, str]]:
    """(namespace, service, name) of every metric of the product in alarms and graphs."""
    if isinstance(value, dict):
        dimensions = {one["Name"]: one["Value"] for one in value.get("Dimensions", ()) if "Name" in one}
        if "service" in dimensions:
            yield value["Namespace"], dimensions["service"], value["MetricName"]
        for inner in value.values():
            yield from _product_metrics(inner)
    elif isinstance(value, list):
        if len(value) > 4 and value[2] == "service":
            yield value[0], value[3], value[1]
        for inner in value:
            yield from _product_metrics(inner)


def test_alarms_and_graphs_show_what_the_product_tells(anywhere: Synthesis) -> None:
    body = anywhere.only("AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
    drawn = json.loads("".join(piece if isinstance(piece, str) else "filled-in" for piece in body))
    alarms = [
        found
        for alarm in anywhere.properties("AWS::CloudWatch::Alarm")
        for found in _product_metrics({**alarm, "Dimensions": alarm.get("Dimensions", [])})
    ]
    assert {name for _, _, name in alarms} == {
        "Halted",
        "Degraded",
        "DeadLetters",
        "ArrivalToProjectedP99",
        "Done",
    }
    used = {*alarms, *_product_metrics(drawn)}
    told = {
        (anywhere.environment(service)["APPLICATION_NAME"], service, figure.name)
        for service, figures in (
            ("worker", product_metrics.WORKER),
            ("api", product_metrics.API),
            ("retention", product_metrics.JOB),
        )
        for figure in figures
    }
    assert used <= told
    # what nobody looks at need not be told; the total of what was read is there to compare by hand
    assert {name for _, _, name in told - used} == {"EventsRead"}


def test_what_runs_every_night_tells_of_its_end(anywhere: Synthesis) -> None:
    """Under the name by which the alarm waits for it."""
    (target,) = anywhere.only("AWS::Events::Rule")["Targets"]
    (override,) = json.loads(target["Input"])["containerOverrides"]
    assert retention.SCRIPT.nightly
    assert retention.SCRIPT.name == override["name"] == "retention"


def test_the_dimension_is_the_products() -> None:
    assert product_metrics.DIMENSION == "service"


def test_the_local_stack_is_made_from_the_template(anywhere: Synthesis) -> None:
    # the promised shards of the other environments are their own
    made = replace(PLATFORM, shards=anywhere.config.shards)
    assert msgspec.to_builtins(made) == local.extract(anywhere.template, anywhere.config)


def test_the_image_is_given_all_that_its_dockerfile_takes(anywhere: Synthesis) -> None:
    if anywhere.config.image is not None:
        return
    folders = [path.parent for path in anywhere.template_file.parent.glob("asset.*/Dockerfile")]
    assert len(folders) == len(_images(anywhere))
    for given in folders:
        lines = (given / "Dockerfile").read_text().splitlines()
        default = dict(
            line.removeprefix("ARG ").split("=", 1) for line in lines if re.match(r"ARG \w+=", line)
        )
        steps = [line.split()[1:-1] for line in lines if re.match(r"(COPY|ADD) (?!--from)", line)]
        taken = [
            string.Template(word).substitute(default) for step in steps for word in step if word[0] != "-"
        ]
        assert len(taken) >= 8
        assert [name for name in taken if not (given / name).exists()] == []
        # neither state nor tests: a change there would be a new image
        assert {path.name for path in given.iterdir()}.isdisjoint({".local", ".git", "tests"})


def _images(platform: Synthesis) -> dict[str, str | None]:
    """The target that each image is built of, by its hash."""
    name = f"EduAnalytics-{platform.config.suffix}.assets.json"
    assets = json.loads(platform.template_file.with_name(name).read_text())
    return {
        key: image["source"].get("dockerBuildTarget") for key, image in assets.get("dockerImages", {}).items()
    }


def test_the_load_test_alone_pulls_what_it_draws_with(anywhere: Synthesis) -> None:
    images = {name: "".join(texts(anywhere.container(name)["Image"])) for name in anywhere.tasks}
    if (ready := anywhere.config.image) is not None:
        drawn = {name for name, image in images.items() if image.endswith(f"{ready}-{LOAD}")}
        assert all(images[name].endswith(ready) for name in set(images) - drawn)
    else:
        target = {name: _images(anywhere)[image.rpartition(":")[2]] for name, image in images.items()}
        drawn = {name for name, its in target.items() if its == LOAD}
        assert {target[name] for name in set(images) - drawn} == {None}
        assert re.search(rf"^FROM \w+ AS {LOAD}$", (SOURCE / "Dockerfile").read_text(), re.MULTILINE)
    assert drawn == {"load-test"}


def test_the_local_stacks_file_is_what_dev_says() -> None:
    dev = synthesis("dev")
    assert local.FILE.read_text() == local.text(dev.template, dev.config), "run: make synth"


def test_the_local_stack_has_the_promised_shards() -> None:
    assert PLATFORM.shards == 2


def test_every_command_is_there(anywhere: Synthesis) -> None:
    commands = {
        tuple(container["Command"])
        for task in anywhere.properties("AWS::ECS::TaskDefinition")
        for container in task["ContainerDefinitions"]
    }
    assert commands
    for command in commands:
        # the api's line may write a file first
        words = command[-1].rpartition("exec ")[2].split() if command[0] == "sh" else list(command)
        assert words[:2] == ["python", "-m"]
        assert is_there(words[2:]), command


def is_there(words: list[str]) -> bool:
    """A verb of the worker, or a script with a `main`."""
    if words[0] != "worker":
        return find_spec(words[0]) is not None and callable(getattr(import_module(words[0]), "main", None))
    with suppress(SystemExit):
        return callable(cli._parser().parse_args(words[1:]).verb)
    return False


@pytest.mark.parametrize("words", [["worker", "reconcile"], ["scripts.no_such"], ["scripts.frame"]])
def test_a_command_that_is_not_there_is_noticed(words: list[str]) -> None:
    assert not is_there(words)
