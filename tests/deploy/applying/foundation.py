"""Key, roles, network, log groups and alarms."""

import json
from collections.abc import Callable
from typing import Any

from tests.deploy.applying.applier import ACCOUNT, Applier
from tests.deploy.applying.resolving import Made

Properties = dict[str, Any]


def key(to: Applier, _: str, given: Properties) -> Made:
    # the waiting time is said when a key is deleted
    given.pop("PendingWindowInDays")
    rotates = given.pop("EnableKeyRotation")
    made = to.call("kms", "create_key", {"Policy": given.pop("KeyPolicy"), **given})["KeyMetadata"]
    if rotates:
        to.client("kms").enable_key_rotation(KeyId=made["KeyId"])
    return Made(made["KeyId"], {"Arn": made["Arn"]})


def alias(to: Applier, _: str, given: Properties) -> Made:
    to.call("kms", "create_alias", {**given, "TargetKeyId": given["TargetKeyId"].rpartition("/")[2]})
    return Made(given["AliasName"])


def role(to: Applier, name: str, given: Properties) -> Made:
    # the policies that AWS manages are not in the emulator; test_iam.py holds their list
    given.pop("ManagedPolicyArns", None)
    made = to.call("iam", "create_role", {"RoleName": to.name(name), **given})["Role"]
    return Made(made["RoleName"], {"Arn": made["Arn"]})


def policy(to: Applier, name: str, given: Properties) -> Made:
    for holder in given.pop("Roles"):
        to.call("iam", "put_role_policy", {**given, "RoleName": holder})
    return Made(name)


def vpc(to: Applier, _: str, given: Properties) -> Made:
    switches = {name: given.pop(name) for name in ("EnableDnsHostnames", "EnableDnsSupport")}
    made = to.call("ec2", "create_vpc", given)["Vpc"]["VpcId"]
    for switch, value in switches.items():
        to.client("ec2").modify_vpc_attribute(VpcId=made, **{switch: {"Value": value}})
    return Made(made)


def subnet(to: Applier, _: str, given: Properties) -> Made:
    public = given.pop("MapPublicIpOnLaunch")
    made = to.call("ec2", "create_subnet", given)["Subnet"]["SubnetId"]
    to.client("ec2").modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": public})
    return Made(made)


def address(to: Applier, _: str, given: Properties) -> Made:
    made = to.call("ec2", "allocate_address", given)
    return Made(made["PublicIp"], {"AllocationId": made["AllocationId"]})


def group(to: Applier, name: str, given: Properties) -> Made:
    rules = {way: given.pop(f"SecurityGroup{way}", []) for way in ("Ingress", "Egress")}
    asked = {"GroupName": to.name(name), "Description": given.pop("GroupDescription"), **given}
    made = to.call("ec2", "create_security_group", asked)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    to.client("ec2").revoke_security_group_egress(GroupId=made, IpPermissions=everything)
    for way, several in rules.items():
        for one in several:
            _rule(to, way, {"GroupId": made, **one})
    return Made(made, {"GroupId": made})


def rule(way: str) -> Callable[[Applier, str, Properties], Made]:
    def make(to: Applier, name: str, given: Properties) -> Made:
        _rule(to, way, given)
        return Made(name)

    return make


def _rule(to: Applier, way: str, given: Properties) -> None:
    described = {"Description": given["Description"]} if "Description" in given else {}
    peer = given.get("SourceSecurityGroupId") or given.get("DestinationSecurityGroupId")
    permission: dict[str, Any] = {
        name: given[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in given
    }
    if peer:
        permission["UserIdGroupPairs"] = [{"GroupId": peer, **described}]
    else:
        permission["IpRanges"] = [{"CidrIp": given["CidrIp"], **described}]
    operation = f"authorize_security_group_{way.lower()}"
    to.call("ec2", operation, {"GroupId": given["GroupId"], "IpPermissions": [permission]})


def flow_log(to: Applier, _: str, given: Properties) -> Made:
    made = to.call("ec2", "create_flow_logs", {"ResourceIds": [given.pop("ResourceId")], **given})
    return Made(made["FlowLogIds"][0])


def log_group(to: Applier, name: str, given: Properties) -> Made:
    days = given.pop("RetentionInDays")
    called = given.setdefault("LogGroupName", to.name(name))
    to.call("logs", "create_log_group", given)
    to.client("logs").put_retention_policy(logGroupName=called, retentionInDays=days)
    return Made(called, {"Arn": f"arn:aws:logs:{to.region}:{ACCOUNT}:log-group:{called}:*"})


def topic(to: Applier, name: str, given: Properties) -> Made:
    made = to.call("sns", "create_topic", {"Name": to.name(name), "Attributes": given})["TopicArn"]
    return Made(made, {"TopicName": to.name(name)})


def topic_policy(to: Applier, name: str, given: Properties) -> Made:
    for one in given["Topics"]:
        text = json.dumps(given["PolicyDocument"])
        to.client("sns").set_topic_attributes(TopicArn=one, AttributeName="Policy", AttributeValue=text)
    return Made(name)


def alarm(to: Applier, name: str, given: Properties) -> Made:
    called = given.setdefault("AlarmName", to.name(name))
    to.call("cloudwatch", "put_metric_alarm", given)
    return Made(called, {"Arn": f"arn:aws:cloudwatch:{to.region}:{ACCOUNT}:alarm:{called}"})


def simple(
    service: str, operation: str, *answer: str, attributes: dict[str, str] | None = None
) -> Callable[[Applier, str, Properties], Made]:
    """A resource made by one call; `answer` leads to its name, or is empty where nobody asks for it."""

    def make(to: Applier, name: str, given: Properties) -> Made:
        found = to.call(service, operation, given)
        for step in answer[:-1]:
            found = found[step]
        told = {called: str(found[field]) for called, field in (attributes or {}).items()}
        return Made(str(found[answer[-1]]) if answer else name, told)

    return make


KINDS = {
    "AWS::KMS::Key": key,
    "AWS::KMS::Alias": alias,
    "AWS::IAM::Role": role,
    "AWS::IAM::Policy": policy,
    "AWS::EC2::VPC": vpc,
    "AWS::EC2::Subnet": subnet,
    "AWS::EC2::RouteTable": simple("ec2", "create_route_table", "RouteTable", "RouteTableId"),
    "AWS::EC2::SubnetRouteTableAssociation": simple("ec2", "associate_route_table"),
    "AWS::EC2::Route": simple("ec2", "create_route"),
    "AWS::EC2::EIP": address,
    "AWS::EC2::NatGateway": simple("ec2", "create_nat_gateway", "NatGateway", "NatGatewayId"),
    "AWS::EC2::InternetGateway": simple(
        "ec2", "create_internet_gateway", "InternetGateway", "InternetGatewayId"
    ),
    "AWS::EC2::VPCGatewayAttachment": simple("ec2", "attach_internet_gateway"),
    "AWS::EC2::VPCEndpoint": simple("ec2", "create_vpc_endpoint", "VpcEndpoint", "VpcEndpointId"),
    "AWS::EC2::SecurityGroup": group,
    "AWS::EC2::SecurityGroupIngress": rule("Ingress"),
    "AWS::EC2::SecurityGroupEgress": rule("Egress"),
    "AWS::EC2::FlowLog": flow_log,
    "AWS::Logs::LogGroup": log_group,
    "AWS::SNS::Topic": topic,
    "AWS::SNS::TopicPolicy": topic_policy,
    "AWS::SNS::Subscription": simple("sns", "subscribe", "SubscriptionArn"),
    "AWS::CloudWatch::Alarm": alarm,
    "AWS::CloudWatch::Dashboard": simple("cloudwatch", "put_dashboard"),
}
