"""The VPC with the brief's exact addresses, and who may talk to whom.

Security groups are all here, because their rules are one picture: gateway → load balancer → api → stores, and
worker → stores. Nothing reaches a worker.
"""

from collections.abc import Sequence

import jsii
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from deploy.acknowledging import acknowledge, acknowledge_template
from deploy.config import EnvConfig
from deploy.security import Security

PUBLIC, PRIVATE = "public", "private"
HTTPS, SERVICE_PORT, POSTGRES, REDIS, NFS = 443, 8080, 5432, 6379, 2049

_ENDPOINTS = {
    "Ecr": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "Metrics": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_MONITORING,
    "Kinesis": ec2.InterfaceVpcEndpointAwsService.KINESIS_STREAMS,
    "Secrets": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Kms": ec2.InterfaceVpcEndpointAwsService.KMS,
    "Sts": ec2.InterfaceVpcEndpointAwsService.STS,
    "ElastiCache": ec2.InterfaceVpcEndpointAwsService.ELASTICACHE,
    "Cognito": ec2.InterfaceVpcEndpointAwsService.COGNITO_IDP,
}
"""What private tasks and the rotation ask of AWS; S3 and DynamoDB have gateway endpoints in any case."""


@jsii.implements(ec2.IIpAddresses)
class _FixedCidrs:
    """The brief's subnets to the address; the default allocator can only count upwards."""

    def __init__(self, vpc: str, subnets: dict[str, Sequence[str]]) -> None:
        self._vpc = vpc
        self._subnets = subnets

    def allocate_vpc_cidr(self) -> ec2.VpcIpamOptions:
        return ec2.VpcIpamOptions(cidr_block=self._vpc)

    def allocate_subnets_cidr(self, input: ec2.AllocateCidrRequest) -> ec2.SubnetIpamOptions:  # noqa: A002
        left = {name: list(cidrs) for name, cidrs in self._subnets.items()}
        return ec2.SubnetIpamOptions(
            allocated_subnets=[
                ec2.AllocatedSubnet(cidr=left[subnet.configuration.name].pop(0))
                for subnet in input.requested_subnets
            ]
        )


class Network(Construct):
    """The VPC and every security group.

    Attributes:
        private: the subnets of tasks and stores.
        link: of the VPC link by which the gateway enters.
        balancer: of the load balancer.
        api, worker, jobs, rotation: of what runs.
        database, redis, files: of what holds state.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvConfig, security: Security) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        isolated = config.egress == "endpoints"
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            # jsii hands the request over as one value, whatever the stub's keywords say
            ip_addresses=_FixedCidrs(  # type: ignore[arg-type]
                config.vpc_cidr, {PUBLIC: config.public_cidrs, PRIVATE: config.private_cidrs}
            ),
            availability_zones=list(config.zones),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            # nothing is in the default group; closing it would take a function with rights over all groups
            restrict_default_security_group=False,
            nat_gateways=0 if isolated else config.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name=PUBLIC, subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(
                    name=PRIVATE,
                    subnet_type=ec2.SubnetType.PRIVATE_ISOLATED
                    if isolated
                    else ec2.SubnetType.PRIVATE_WITH_EGRESS,
                ),
            ],
            gateway_endpoints={
                # KCL's tables are chatty, and image layers come from S3: neither should pay for a NAT
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            },
        )
        acknowledge_template(
            self.vpc, {"W3010": "the promised zones, 1a and 1c; asking AWS for them would need credentials"}
        )
        self.private = ec2.SubnetSelection(subnet_group_name=PRIVATE)
        self.public = ec2.SubnetSelection(subnet_group_name=PUBLIC)
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(security.log_group(self, "FlowLogs")),
        )

        self.link = self._group("Link", "from the gateway")
        self.balancer = self._group("Balancer", "the load balancer")
        self.api = self._group("Api", "api tasks")
        self.worker = self._group("Worker", "worker tasks; nothing enters")
        self.jobs = self._group("Jobs", "one-off jobs; nothing enters")
        self.rotation = self._group("Rotation", "the rotation of passwords; nothing enters")
        self.database = self._group("Database", "the ledger")
        self.redis = self._group("Redis", "the projection")
        self.files = self._group("Files", "the shared files")
        self._rules()
        self._interface_endpoints(isolated=isolated)

    @property
    def private_ids(self) -> list[str]:
        """The private subnets, for what takes no selection."""
        return list(self.vpc.select_subnets(subnet_group_name=PRIVATE).subnet_ids)

    def _group(self, construct_id: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, construct_id, vpc=self.vpc, description=description, allow_all_outbound=False
        )

    def _rules(self) -> None:
        entry = ec2.Port.tcp(HTTPS if self._config.certificate_arn else 80)
        self.link.connections.allow_to(self.balancer, entry, "gateway to load balancer")
        if self._config.public_load_balancer:
            self.balancer.add_ingress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(HTTPS), "the switch public_load_balancer"
            )
            acknowledge(
                self.balancer,
                {
                    "EC23": "public_load_balancer is on: the listener answers 403 to requests without the "
                    "gateway's secret"
                },
            )
        self.balancer.connections.allow_to(self.api, ec2.Port.tcp(SERVICE_PORT), "load balancer to api")
        for client in (self.api, self.worker, self.jobs, self.rotation):
            client.connections.allow_to(self.database, ec2.Port.tcp(POSTGRES), "to the ledger")
            client.connections.allow_to(self.redis, ec2.Port.tcp(REDIS), "to the projection")
            # the addresses of AWS services are many and change; which calls are allowed is IAM's part
            client.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(HTTPS), "AWS APIs")
        for client in (self.api, self.worker, self.jobs):
            client.connections.allow_to(self.files, ec2.Port.tcp(NFS), "to the files")

    def _interface_endpoints(self, *, isolated: bool) -> None:
        wanted = set(_ENDPOINTS) if isolated else {"Kinesis"} if self._config.kinesis_endpoint else set()
        if not wanted:
            return
        group = self._group("Endpoints", "interface endpoints")
        for client in (self.api, self.worker, self.jobs, self.rotation):
            client.connections.allow_to(group, ec2.Port.tcp(HTTPS), "to the interface endpoints")
        for name in sorted(wanted):
            self.vpc.add_interface_endpoint(
                name, service=_ENDPOINTS[name], security_groups=[group], subnets=self.private, open=False
            )
