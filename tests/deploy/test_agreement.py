"""Platform and product, which import nothing of each other, mean the same by the same words."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from deploy.api import CALLER_HEADER, SECRET_HEADER
from deploy.config import GIVE_BACK_SECONDS, LEAVE_SECONDS, SUPERVISOR_MARGIN_SECONDS
from deploy.people import ROLES
from deploy.rotating import names
from tests.deploy.synthesis import Synthesis, synthesis
from worker import product_metrics
from worker.adapters.aurora import rights
from worker.adapters.aurora.statements import statements
from worker.api import tokens
from worker.api.access import Role
from worker.kcl.supervisor import SupervisorConfig
from worker.local.cloud import Cloud
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
    }
    used = {*alarms, *_product_metrics(drawn)}
    told = {
        (anywhere.environment(service)["APPLICATION_NAME"], service, figure.name)
        for service, figures in (("worker", product_metrics.WORKER), ("api", product_metrics.API))
        for figure in figures
    }
    assert used <= told
    # what nobody looks at need not be told; the total of what was read is there to compare by hand
    assert {name for _, _, name in told - used} == {"EventsRead"}


def test_the_dimension_is_the_products() -> None:
    assert product_metrics.DIMENSION == "service"


class _Tables:
    """Hears what the local stack would make."""

    class exceptions:  # noqa: N801 - boto3's name
        class ResourceInUseException(Exception):
            pass

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def create_table(self, TableName: str, **definition: Any) -> None:
        self.made[TableName] = definition

    def get_waiter(self, _name: str) -> Any:
        return type("Waiter", (), {"wait": staticmethod(lambda **_: None)})


def test_the_tables_are_those_of_the_local_stack(platform: Synthesis) -> None:
    local = _Tables()
    Cloud(None, local).create_kcl_tables(platform.config.application_name)
    cloud = {
        table["TableName"]: {name: table[name] for name in local.made[table["TableName"]]}
        for table in platform.properties("AWS::DynamoDB::Table")
    }
    assert cloud == local.made
