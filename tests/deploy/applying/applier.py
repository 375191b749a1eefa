"""The applier: each resource of a template made by the API calls that its kind stands for."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3

from tests.deploy.applying.resolving import Made, Resolver, in_order
from tests.deploy.applying.shaping import fit

ACCOUNT = "123456789012"


class Applier:
    """Makes resources; describe calls find them with the same clients.

    Attributes:
        made: what each logical id became.
        left: by type, the properties that the API calls have no field for.
    """

    def __init__(self, template: dict[str, Any], region: str, suffix: str) -> None:
        self.template = template
        self.suffix = suffix
        self.region = region
        self.made: dict[str, Made] = {}
        self.left: dict[str, set[str]] = {}
        self.client = cache(lambda service: boto3.client(service, region_name=region))
        self._kind = ""
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        self.resolver = Resolver(self.made, pseudo, self._secret)

    def apply(self, kinds: Mapping[str, Any]) -> None:
        """Make every resource; a type that nobody knows is an error."""
        resources = self.template["Resources"]
        for name in in_order(resources):
            self._kind = resources[name]["Type"]
            properties = self.resolver.resolve(resources[name].get("Properties", {}))
            properties.pop("Tags", None)
            self.made[name] = kinds[self._kind](self, name, properties)

    def call(self, service: str, operation: str, properties: dict[str, Any]) -> Any:
        """One API call with these properties, as far as it has fields for them."""
        client = self.client(service)
        arguments, left = fit(client, operation, properties)
        self.left.setdefault(self._kind, set()).update(left)
        return getattr(client, operation)(**arguments)

    def name(self, logical: str) -> str:
        """What CloudFormation would make up for a resource without a name."""
        return f"EduAnalytics-{self.suffix}-{logical}"[:60]

    def _secret(self, secret_id: str, field: str) -> str:
        text: str = self.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
        return str(json.loads(text)[field]) if field else text
