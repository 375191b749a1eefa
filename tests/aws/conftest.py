"""A deployed environment in a real account, asked through boto3; nothing here writes.

Run with credentials and the variables of the deployment: `ENVIRONMENT_SUFFIX=dev python -m pytest -m aws`.
"""

import os
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from deploy.choosing import choose
from deploy.config import EnvConfig


class Deployed:
    """One environment: what it was configured to be, and the account it stands in."""

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self._clients: dict[str, Any] = {}
        stack = self.client("cloudformation").describe_stacks(StackName=f"EduAnalytics-{config.suffix}")
        self.outputs: Mapping[str, str] = {
            output["OutputKey"]: output["OutputValue"] for output in stack["Stacks"][0]["Outputs"]
        }

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name=self.config.region)
        return self._clients[service]

    def all(self, service: str, operation: str, **arguments: Any) -> list[dict[str, Any]]:
        """Every page of a list."""
        pages = self.client(service).get_paginator(operation).paginate(**arguments)
        found: list[dict[str, Any]] = next(iter(pages.build_full_result().values()))
        return found

    def ids(self, kind: str) -> list[str]:
        """The physical ids of the stack's resources of a type."""
        stack = f"EduAnalytics-{self.config.suffix}"
        resources = self.all("cloudformation", "list_stack_resources", StackName=stack)
        return [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == kind]

    @property
    def key(self) -> dict[str, Any]:
        """What KMS says of the environment's key."""
        alias = f"alias/edu-analytics-{self.config.suffix}"
        described: dict[str, Any] = self.client("kms").describe_key(KeyId=alias)["KeyMetadata"]
        return described


@pytest.fixture(scope="session")
def deployed() -> Deployed:
    """The environment that the variables name."""
    return Deployed(choose(os.environ))
