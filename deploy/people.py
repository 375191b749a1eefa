"""Who people are: a Cognito user pool whose groups are the service's roles.

What a person may see hangs on attributes that only an administrator writes. A student who could write
`courses` would be a teacher.
"""

from aws_cdk import Duration
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.config import EnvConfig
from deploy.security import Security

ROLES = {
    "student": "Sees the own record",
    "teacher": "Sees the own courses",
    "official": "Sees all records, with a purpose that is stored",
    "analyst": "Sees figures of classes, small groups hidden",
    "operator": "Sees the system's own figures",
}

_LONGEST_ATTRIBUTE = 2_048


class People(Construct):
    """The user pool, its groups and the page's client."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvConfig, security: Security) -> None:
        super().__init__(scope, construct_id)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            user_pool_name=f"edu-analytics-{config.suffix}",
            # schools invite; nobody signs up to see a class
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(sms=False, otp=True),
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_digits=True,
                require_lowercase=True,
                require_symbols=True,
                require_uppercase=True,
                temp_password_validity=Duration.days(3),
            ),
            custom_attributes={
                "realm": cognito.StringAttribute(min_len=1, max_len=256, mutable=True),
                "student_id": cognito.StringAttribute(min_len=1, max_len=256, mutable=True),
                "courses": cognito.StringAttribute(min_len=0, max_len=_LONGEST_ATTRIBUTE, mutable=True),
            },
            feature_plan=cognito.FeaturePlan.PLUS if config.prod else cognito.FeaturePlan.ESSENTIALS,
            standard_threat_protection_mode=cognito.StandardThreatProtectionMode.FULL_FUNCTION
            if config.prod
            else None,
            deletion_protection=config.prod,
            removal_policy=security.removal,
        )
        for role, description in ROLES.items():
            cognito.CfnUserPoolGroup(
                self,
                role.capitalize(),
                user_pool_id=self.pool.user_pool_id,
                group_name=role,
                description=description,
            )
        attributes = cognito.ClientAttributes().with_standard_attributes(email=True)
        self.client = self.pool.add_client(
            "Client",
            auth_flows=cognito.AuthFlow(user_srp=True),
            disable_o_auth=True,
            generate_secret=False,
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            # id tokens, since they alone carry the attributes
            id_token_validity=Duration.hours(1),
            access_token_validity=Duration.hours(1),
            refresh_token_validity=Duration.hours(12),
            read_attributes=attributes.with_custom_attributes("realm", "student_id", "courses"),
            # a listed attribute can be written by its owner; the others cannot
            write_attributes=cognito.ClientAttributes().with_standard_attributes(locale=True),
        )
        findings = {
            "COG2": "a second factor is offered, not demanded: pupils have no device of their own for it"
        }
        if not config.prod:
            findings["COG8"] = "threat protection is billed by user and belongs where users are real"
        acknowledge(self.pool, findings)
