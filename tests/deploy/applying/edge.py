"""Load balancer, gateway, web ACL and the people's pool."""

from typing import Any

from tests.deploy.applying.applier import ACCOUNT, Applier
from tests.deploy.applying.foundation import simple
from tests.deploy.applying.resolving import Made

Properties = dict[str, Any]


def balancer(to: Applier, _: str, given: Properties) -> Made:
    attributes = given.pop("LoadBalancerAttributes")
    (made,) = to.call("elbv2", "create_load_balancer", given)["LoadBalancers"]
    arn = made["LoadBalancerArn"]
    to.call("elbv2", "modify_load_balancer_attributes", {"LoadBalancerArn": arn, "Attributes": attributes})
    return Made(arn, {"DNSName": made["DNSName"]})


def targets(to: Applier, name: str, given: Properties) -> Made:
    attributes = given.pop("TargetGroupAttributes")
    called = f"{to.suffix}-{name}"[:32].rstrip("-")
    (made,) = to.call("elbv2", "create_target_group", {"Name": called, **given})["TargetGroups"]
    arn = made["TargetGroupArn"]
    to.call("elbv2", "modify_target_group_attributes", {"TargetGroupArn": arn, "Attributes": attributes})
    return Made(arn, {"TargetGroupFullName": arn.rpartition(":")[2]})


def rest_api(to: Applier, _: str, given: Properties) -> Made:
    made = to.call("apigateway", "create_rest_api", given)
    return Made(made["id"], {"RootResourceId": made["rootResourceId"]})


def method(to: Applier, name: str, given: Properties) -> Made:
    integration = given.pop("Integration")
    to.call("apigateway", "put_method", given)
    own = {name: given[name] for name in ("RestApiId", "ResourceId", "HttpMethod")}
    to.call("apigateway", "put_integration", {**own, **integration})
    return Made(name)


def stage(to: Applier, _: str, given: Properties) -> Made:
    log, settings = given.pop("AccessLogSetting"), given.pop("MethodSettings")
    to.call("apigateway", "create_stage", given)
    changed = {"/accessLogSettings/destinationArn": log["DestinationArn"]}
    changed["/accessLogSettings/format"] = log["Format"]
    for one in settings:
        place = f"{one['ResourcePath']}/{one['HttpMethod']}"
        for field, value in {
            "logging/dataTrace": one["DataTraceEnabled"],
            "logging/loglevel": one["LoggingLevel"],
            "metrics/enabled": one["MetricsEnabled"],
            "throttling/burstLimit": one["ThrottlingBurstLimit"],
            "throttling/rateLimit": one["ThrottlingRateLimit"],
        }.items():
            changed[f"{place}/{field}"] = str(value).lower() if isinstance(value, bool) else str(value)
    to.client("apigateway").update_stage(
        restApiId=given["RestApiId"],
        stageName=given["StageName"],
        patchOperations=[{"op": "replace", "path": path, "value": value} for path, value in changed.items()],
    )
    return Made(given["StageName"])


def account(to: Applier, name: str, given: Properties) -> Made:
    operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": given["CloudWatchRoleArn"]}
    to.client("apigateway").update_account(patchOperations=[operation])
    return Made(name)


def web_acl(to: Applier, name: str, given: Properties) -> Made:
    made = to.call("wafv2", "create_web_acl", {"Name": to.name(name), **given})["Summary"]
    return Made(made["Id"], {"Arn": made["ARN"]})


def web_acl_log(to: Applier, name: str, given: Properties) -> Made:
    to.call("wafv2", "put_logging_configuration", {"LoggingConfiguration": given})
    return Made(name)


def pool(to: Applier, name: str, given: Properties) -> Made:
    asked = {"PoolName": given.pop("UserPoolName", to.name(name)), **given}
    second = {"MfaConfiguration": given["MfaConfiguration"]}
    if "SOFTWARE_TOKEN_MFA" in asked.pop("EnabledMfas", ()):
        second["SoftwareTokenMfaConfiguration"] = {"Enabled": True}
    made = to.call("cognito-idp", "create_user_pool", asked)["UserPool"]["Id"]
    to.call("cognito-idp", "set_user_pool_mfa_config", {"UserPoolId": made, **second})
    provider = f"cognito-idp.{to.region}.amazonaws.com/{made}"
    arn = f"arn:aws:cognito-idp:{to.region}:{ACCOUNT}:userpool/{made}"
    return Made(made, {"Arn": arn, "ProviderName": provider, "ProviderURL": f"https://{provider}"})


def client(to: Applier, name: str, given: Properties) -> Made:
    asked = {"ClientName": to.name(name), **given}
    return Made(to.call("cognito-idp", "create_user_pool_client", asked)["UserPoolClient"]["ClientId"])


KINDS = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": balancer,
    "AWS::ElasticLoadBalancingV2::TargetGroup": targets,
    "AWS::ElasticLoadBalancingV2::Listener": lambda to, _, given: Made(
        to.call("elbv2", "create_listener", given)["Listeners"][0]["ListenerArn"]
    ),
    "AWS::ElasticLoadBalancingV2::ListenerRule": simple("elbv2", "create_rule"),
    "AWS::ApiGatewayV2::VpcLink": simple("apigatewayv2", "create_vpc_link", "VpcLinkId"),
    "AWS::ApiGateway::RestApi": rest_api,
    "AWS::ApiGateway::Resource": simple("apigateway", "create_resource", "id"),
    "AWS::ApiGateway::Method": method,
    "AWS::ApiGateway::Model": simple("apigateway", "create_model", "name"),
    "AWS::ApiGateway::RequestValidator": simple("apigateway", "create_request_validator", "id"),
    "AWS::ApiGateway::Authorizer": simple("apigateway", "create_authorizer", "id"),
    "AWS::ApiGateway::Deployment": simple("apigateway", "create_deployment", "id"),
    "AWS::ApiGateway::Stage": stage,
    "AWS::ApiGateway::Account": account,
    "AWS::WAFv2::WebACL": web_acl,
    "AWS::WAFv2::WebACLAssociation": simple("wafv2", "associate_web_acl"),
    "AWS::WAFv2::LoggingConfiguration": web_acl_log,
    "AWS::Cognito::UserPool": pool,
    "AWS::Cognito::UserPoolClient": client,
    "AWS::Cognito::UserPoolGroup": simple("cognito-idp", "create_group", "Group", "GroupName"),
}
