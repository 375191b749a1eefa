"""Platform and product, which import nothing of each other, mean the same by the same words."""

import re
import string
from typing import Any

import msgspec
import pytest

from deploy.api import CALLER_HEADER, SECRET_HEADER
from deploy.config import GIVE_BACK_SECONDS, LEAVE_SECONDS, SUPERVISOR_MARGIN_SECONDS
from deploy.people import ROLES
from tests.deploy.synthesis import Synthesis
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


def test_the_image_is_given_all_that_its_dockerfile_takes(anywhere: Synthesis) -> None:
    if anywhere.config.image is not None:
        return
    (given,) = (path.parent for path in anywhere.template_file.parent.glob("asset.*/Dockerfile"))
    lines = (given / "Dockerfile").read_text().splitlines()
    default = dict(line.removeprefix("ARG ").split("=", 1) for line in lines if re.match(r"ARG \w+=", line))
    steps = [line.split()[1:-1] for line in lines if re.match(r"(COPY|ADD) (?!--from)", line)]
    taken = [string.Template(word).substitute(default) for step in steps for word in step if word[0] != "-"]
    assert len(taken) >= 8
    assert [name for name in taken if not (given / name).exists()] == []
    # neither state nor tests: a change there would be a new image
    assert {path.name for path in given.iterdir()}.isdisjoint({".local", ".git", "tests"})


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
