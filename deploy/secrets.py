"""Secrets that no other construct makes, and how any of them is read and rotated.

CloudFormation can generate one random text a secret and nothing else. A secret that is a document around
random texts is therefore written from generated parts, which nobody may read afterwards.
"""

from aws_cdk import SecretValue, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.config import EnvConfig
from deploy.security import Security

# 43 characters are the base64 of 32 bytes and 86 that of 64; the last one is fixed, since not all of its bits
# belong to a byte
_PSEUDONYM_CHARACTERS, _SEAL_CHARACTERS = 42, 85


class Secrets(Construct):
    """The keyring of pseudonyms and the word by which the service knows the gateway.

    Attributes:
        identity_keys: `IDENTITY_KEYS_SECRET_ID`; with another keyring every student is somebody else.
        gateway: `GATEWAY_SECRET_ID`.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvConfig, security: Security) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._security = security
        pseudonym = self.part(self, "Pseudonym", _PSEUDONYM_CHARACTERS)
        seal = self.part(self, "Seal", _SEAL_CHARACTERS)
        key = f'{{"pseudonym":"{pseudonym}A=","seal":"{seal}A=="}}'
        self.identity_keys = self.document(
            self,
            "IdentityKeys",
            "Keyring of pseudonyms and seals",
            f'{{"current":"k1","keys":{{"k1":{key}}}}}',
            never_rotated="another keyring makes other pseudonyms: re-keying is a job of its own",
        )
        self.gateway = secretsmanager.Secret(
            self,
            "Gateway",
            description="What the gateway adds to each request it vouches for",
            encryption_key=security.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=48, exclude_punctuation=True
            ),
            removal_policy=security.removal,
        )
        acknowledge(
            self.gateway,
            {
                "SMG4": "the gateway's definition holds a copy, so a new value is a deployment; behind a "
                "private load balancer it is a second lock"
            },
        )

    def part(self, scope: Construct, construct_id: str, characters: int) -> str:
        """A reference to generated letters and digits, for a document; CloudFormation puts them in."""
        secret = secretsmanager.Secret(
            scope,
            construct_id,
            description="A generated part of another secret; no role may read it",
            encryption_key=self._security.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=characters, exclude_punctuation=True, require_each_included_type=False
            ),
            removal_policy=self._security.removal,
        )
        acknowledge(secret, {"SMG4": "a part of another secret, read once, when that one is created"})
        return secret.secret_value.unsafe_unwrap()

    def document(
        self, scope: Construct, construct_id: str, description: str, text: str, *, never_rotated: str = ""
    ) -> secretsmanager.Secret:
        """A secret whose text holds references to parts."""
        secret = secretsmanager.Secret(
            scope,
            construct_id,
            description=description,
            encryption_key=self._security.key,
            # holds references, which CloudFormation resolves; the template holds no secret
            secret_string_value=SecretValue.unsafe_plain_text(text),
            removal_policy=self._security.removal,
        )
        if never_rotated:
            acknowledge(secret, {"SMG4": never_rotated})
        return secret

    def rotate(self, secret: secretsmanager.ISecret, function: lambda_.Function) -> None:
        """Let a function rotate a secret; not at once, so that a deployment changes no password."""
        function.add_permission(
            "BySecretsManager",
            principal=iam.ServicePrincipal("secretsmanager.amazonaws.com"),
            source_account=Stack.of(self).account,
            source_arn=secret.secret_arn,
        )
        # the library's own schedule would add rights to the function that it has no use for
        schedule = secretsmanager.CfnRotationSchedule(
            function,
            "Schedule",
            secret_id=secret.secret_arn,
            rotation_lambda_arn=function.function_arn,
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                schedule_expression=f"rate({self._config.rotation_days} days)"
            ),
            rotate_immediately_on_update=False,
        )
        # Secrets Manager tries the function's permission when the schedule is made
        schedule.add_resource_dependency(_permission(function))

    def allow_reading(self, role: iam.Role, *secrets: secretsmanager.ISecret) -> None:
        """What a process needs to read secrets at each connect."""
        role.add_to_policy(
            iam.PolicyStatement(
                sid="ReadSecrets",
                actions=["secretsmanager:GetSecretValue"],
                resources=[secret.secret_arn for secret in secrets],
            )
        )


def _permission(function: lambda_.Function) -> lambda_.CfnPermission:
    found = function.node.find_child("BySecretsManager")
    if not isinstance(found, lambda_.CfnPermission):
        raise TypeError("the function's permission is not where it was put")
    return found
