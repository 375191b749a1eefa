"""Platform and product, which import nothing of each other, mean the same by the same words."""

from typing import Any

import msgspec
import pytest

from deploy.api import CALLER_HEADER, SECRET_HEADER
from deploy.config import GIVE_BACK_SECONDS, LEAVE_SECONDS, SUPERVISOR_MARGIN_SECONDS
from deploy.people import ROLES
from deploy.rotating import names
from tests.deploy.synthesis import Synthesis
from worker.adapters.aurora import rights
from worker.adapters.aurora.statements import statements
from worker.api import tokens
from worker.api.access import Role
from worker.kcl.supervisor import SupervisorConfig
from worker.local.cloud import Cloud
from worker.settings import ApiSettings, Settings, load, load_api, variable

NOT_OURS = {"HOME", "MALLOC_ARENA_MAX", "PGSSLROOTCERT", "PRODUCERS"}
"""Variables that the system, glibc, libpq and the api's start line read."""


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
