"""Environments synthesized once a session, and questions to their templates."""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from deploy.config import EnvConfig, Producer, dev, prod

CERTIFICATE = "arn:aws:acm:ap-northeast-1:111122223333:certificate/3c1f0a52-0000-4000-8000-000000000000"
DOMAIN = "api.internal.example.org"

Resource = dict[str, Any]

ENVIRONMENTS: dict[str, EnvConfig] = {
    "dev": dev(),
    "prod": prod(certificate_arn=CERTIFICATE, internal_domain=DOMAIN),
    # every switch away from its default
    "other": dev(
        "other",
        egress="endpoints",
        public_load_balancer=True,
        certificate_arn=CERTIFICATE,
        internal_domain=DOMAIN,
        api_account_role=False,
        serve_page=False,
        architecture="X86_64",
        image="edu-analytics:1.2.3",
        alarm_email="operators@example.org",
        retention_days=1_825,
        producers=(
            Producer(role_arn="arn:aws:iam::111122223333:role/lms", realm="north", sources=("lms",)),
            Producer(role_arn="arn:aws:iam::111122223333:role/sis", realm="south"),
        ),
    ),
}


@dataclass(frozen=True)
class Synthesis:
    """One environment's template and what the checks said of it."""

    config: EnvConfig
    template_file: Path
    template: dict[str, Any]
    report: dict[str, Any]
    metadata: dict[str, Any]

    def resources(self, kind: str) -> dict[str, Resource]:
        """All resources of a type, by logical id."""
        return {name: r for name, r in self.template["Resources"].items() if r["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        return [resource["Properties"] for resource in self.resources(kind).values()]

    def only(self, kind: str) -> dict[str, Any]:
        """The properties of a type's one resource."""
        (properties,) = self.properties(kind)
        return properties

    def id_of(self, kind: str) -> str:
        """The logical id of a type's one resource."""
        (name,) = self.resources(kind)
        return name

    @property
    def tasks(self) -> set[str]:
        """The names of all services and jobs."""
        families = [task["Family"] for task in self.properties("AWS::ECS::TaskDefinition")]
        return {f.removeprefix("edu-analytics-").removesuffix(f"-{self.config.suffix}") for f in families}

    def task(self, name: str) -> dict[str, Any]:
        family = f"edu-analytics-{name}-{self.config.suffix}"
        tasks = self.properties("AWS::ECS::TaskDefinition")
        return next(task for task in tasks if task["Family"] == family)

    def container(self, name: str) -> dict[str, Any]:
        containers: list[dict[str, Any]] = self.task(name)["ContainerDefinitions"]
        return next(container for container in containers if container["Name"] == name)

    def environment(self, name: str) -> dict[str, Any]:
        return {entry["Name"]: entry["Value"] for entry in self.container(name)["Environment"]}

    def service(self, name: str) -> dict[str, Any]:
        named = f"edu-analytics-{name}-{self.config.suffix}"
        (service,) = (p for p in self.properties("AWS::ECS::Service") if p["ServiceName"] == named)
        return service

    def statements(self, role: str) -> list[dict[str, Any]]:
        """What a role, by logical id, may do."""
        return [
            statement
            for policy in self.properties("AWS::IAM::Policy")
            if {"Ref": role} in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def task_role(self, name: str) -> str:
        role: str = self.task(name)["TaskRoleArn"]["Fn::GetAtt"][0]
        return role


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(statements: list[dict[str, Any]]) -> set[str]:
    return {action for statement in statements for action in as_list(statement["Action"])}


def texts(value: Any) -> Iterator[str]:
    """Every text inside a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


@cache
def synthesis(name: str) -> Synthesis:
    """An environment, synthesized at the first question of all processes that share a run of tests."""
    config = ENVIRONMENTS[name]
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"process-{os.getpid()}"
    folder = Path(gettempdir()) / f"synthesis-{run}" / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _synthesize(config, folder)
            done.touch()
    stack = f"EduAnalytics-{config.suffix}"
    template_file = folder / f"{stack}.template.json"
    return Synthesis(
        config,
        template_file,
        json.loads(template_file.read_text()),
        json.loads((folder / "validation-report.json").read_text()),
        json.loads((folder / f"{stack}.metadata.json").read_text()),
    )


def _synthesize(config: EnvConfig, folder: Path) -> None:
    from deploy.app import build  # noqa: PLC0415 - the construct library, which test_config.py does without

    build(config, outdir=str(folder)).synth()
