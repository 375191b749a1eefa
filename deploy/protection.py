"""The web ACL before the public edge: known attacks and floods end there.

It redacts what its log could quote, and keeps no samples, because a request's query names students.
"""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from deploy.security import Security

_RATE_PER_ADDRESS = 60_000


def protect(scope: Construct, stage: apigateway.Stage, security: Security, suffix: str) -> wafv2.CfnWebACL:
    """A web ACL before a stage, which logs what it blocks without whom that was about.

    Args:
        scope: where its resources stand.
        stage: what it stands before.
        security: the key of its logs.
        suffix: the environment's, which ends its names.
    """
    acl = wafv2.CfnWebACL(
        scope,
        "WebAcl",
        scope="REGIONAL",
        default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
        visibility_config=_visibility("all"),
        rules=[
            _managed(
                "AWSManagedRulesCommonRuleSet",
                1,
                # a batch of 500 events is larger than its 8 KiB and no attack
                counted=("SizeRestrictions_BODY",),
            ),
            _managed("AWSManagedRulesKnownBadInputsRuleSet", 2),
            _managed("AWSManagedRulesAmazonIpReputationList", 3),
            wafv2.CfnWebACL.RuleProperty(
                name="RatePerAddress",
                priority=4,
                action=wafv2.CfnWebACL.RuleActionProperty(block={}),
                statement=wafv2.CfnWebACL.StatementProperty(
                    # in five minutes; a whole school asks every half minute from behind one address
                    rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                        aggregate_key_type="IP", limit=_RATE_PER_ADDRESS
                    )
                ),
                visibility_config=_visibility("RatePerAddress"),
            ),
        ],
    )
    wafv2.CfnWebACLAssociation(
        scope,
        "WebAclOfStage",
        resource_arn=stage.stage_arn,
        web_acl_arn=acl.attr_arn,
    )
    name = f"aws-waf-logs-edu-analytics-{suffix}"
    group = security.log_group(scope, "WebAclLogs", name)
    logging = wafv2.CfnLoggingConfiguration(
        scope,
        "WebAclLogging",
        resource_arn=acl.attr_arn,
        log_destination_configs=[
            # without the `:*` that the group's own ARN ends with
            Stack.of(scope).format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
        ],
        redacted_fields=[
            wafv2.CfnLoggingConfiguration.FieldToMatchProperty(query_string={}),
            wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": "authorization"}),
            wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": "x-purpose"}),
        ],
        logging_filter={
            "DefaultBehavior": "DROP",
            "Filters": [
                {
                    "Behavior": "KEEP",
                    "Requirement": "MEETS_ANY",
                    "Conditions": [{"ActionCondition": {"Action": "BLOCK"}}],
                }
            ],
        },
    )
    logging.node.add_dependency(group)
    return acl


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True,
        metric_name=name,
        # samples quote requests, query strings included
        sampled_requests_enabled=False,
    )


def _managed(name: str, priority: int, counted: tuple[str, ...] = ()) -> wafv2.CfnWebACL.RuleProperty:
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    wafv2.CfnWebACL.RuleActionOverrideProperty(
                        name=rule, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
                    )
                    for rule in counted
                ]
                or None,
            )
        ),
        visibility_config=_visibility(name),
    )
