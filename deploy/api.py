"""The api service behind its load balancer, which only the gateway's VPC link can reach."""

import json

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.cluster import Cluster, Stores
from deploy.config import EnvConfig
from deploy.network import HTTPS, SERVICE_PORT, Network
from deploy.people import People

STAGE = "v1"
"""The gateway's stage."""

SECRET_HEADER = "x-gateway-secret"  # noqa: S105 - its name
CALLER_HEADER = "x-gateway-caller-arn"


class Api(Construct):
    """The load balancer and the service.

    Attributes:
        address: where the gateway sends requests to, without a path.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvConfig,
        network: Network,
        cluster: Cluster,
        stores: Stores,
        people: People,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._gateway_secret = stores.secrets.gateway
        self.balancer = elb.ApplicationLoadBalancer(
            self,
            "Balancer",
            load_balancer_name=f"edu-{config.suffix}",
            vpc=network.vpc,
            vpc_subnets=network.public if config.public_load_balancer else network.private,
            security_group=network.balancer,
            internet_facing=config.public_load_balancer,
            drop_invalid_header_fields=True,
            deletion_protection=config.prod,
        )
        acknowledge(
            self.balancer,
            {
                "ELB2": "its access logs would quote query strings, and these hold student ids; requests are "
                "counted by metrics and logged by the gateway without them"
            },
        )
        scheme = "https" if config.certificate_arn else "http"
        self.address = f"{scheme}://{config.internal_domain or self.balancer.load_balancer_dns_name}"
        self.targets = self._targets(network)
        self._listen()

        self.task = cluster.task(
            self,
            "api",
            size=config.api,
            command=["python", "-m", "worker", "api"],
            environment=self._environment(people, stores),
            # requests in flight take seconds; accepted events wait for the stream for up to five
            stop=Duration.seconds(60),
            serves=True,
            reads=[*stores.everyday, stores.secrets.gateway],
        )
        role = self.task.task_role
        if isinstance(role, iam.Role):
            stores.stream.allow_producing(role)
            stores.stream.allow_naming(role)
        self.service = ecs.FargateService(
            self,
            "Service",
            service_name=f"edu-analytics-api-{config.suffix}",
            cluster=cluster.cluster,
            task_definition=self.task,
            vpc_subnets=network.private,
            security_groups=[network.api],
            assign_public_ip=False,
            desired_count=config.min_tasks,
            min_healthy_percent=100,
            max_healthy_percent=200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            health_check_grace_period=Duration.seconds(60),
            enable_execute_command=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        self.service.attach_to_application_target_group(self.targets)
        self.service.node.add_dependency(stores.files.file_system.mount_targets_available, self.listener)
        self._scale()

    def _environment(self, people: People, stores: Stores) -> dict[str, str]:
        issuer = people.pool.user_pool_provider_url
        environment = {
            "API_PORT": str(SERVICE_PORT),
            "TOKEN_ISSUER": issuer,
            "TOKEN_CLIENTS": people.client.user_pool_client_id,
            "TOKEN_KEYS_URL": f"{issuer}/.well-known/jwks.json",
            "CLAIM_ROLES": "cognito:groups",
            "CLAIM_REALM": "custom:realm",
            "CLAIM_STUDENT_ID": "custom:student_id",
            "CLAIM_COURSES": "custom:courses",
            "GATEWAY_SECRET_ID": stores.secrets.gateway.secret_arn,
        }
        if self._config.producers:
            bound = {
                producer.role_arn: {
                    "realm": producer.realm,
                    **({} if producer.sources is None else {"sources": list(producer.sources)}),
                }
                for producer in self._config.producers
            }
            environment["PRODUCERS"] = json.dumps(bound)
        return environment

    def _targets(self, network: Network) -> elb.ApplicationTargetGroup:
        return elb.ApplicationTargetGroup(
            self,
            "Targets",
            vpc=network.vpc,
            port=SERVICE_PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            target_type=elb.TargetType.IP,
            # longer than any answer takes, shorter than a task is given to stop
            deregistration_delay=Duration.seconds(30),
            health_check=elb.HealthCheck(
                path="/healthz",
                port=str(SERVICE_PORT),
                # out of service within 20 s
                interval=Duration.seconds(10),
                timeout=Duration.seconds(5),
                unhealthy_threshold_count=2,
                healthy_threshold_count=2,
                healthy_http_codes="200",
            ),
        )

    def _listen(self) -> None:
        config = self._config
        certified = config.certificate_arn is not None
        self.listener = self.balancer.add_listener(
            "Listener",
            port=HTTPS if certified else 80,
            protocol=elb.ApplicationProtocol.HTTPS if certified else elb.ApplicationProtocol.HTTP,
            certificates=[elb.ListenerCertificate.from_arn(config.certificate_arn)]
            if config.certificate_arn
            else None,
            ssl_policy=elb.SslPolicy.RECOMMENDED_TLS if certified else None,
            # its security group says who may enter
            open=False,
            default_action=elb.ListenerAction.fixed_response(403),
        )
        staged = self._forward("Staged", f"/{STAGE}/*", priority=10)
        resource = staged.node.default_child
        if isinstance(resource, elb.CfnListenerRule):
            # a private integration sends the stage's name before the path; the service knows no stages
            resource.add_property_override(
                "Transforms",
                [
                    {
                        "Type": "url-rewrite",
                        "UrlRewriteConfig": {"Rewrites": [{"Regex": f"^/{STAGE}/(.*)$", "Replace": "/$1"}]},
                    }
                ],
            )
        self._forward("Plain", "/*", priority=20)

    def _forward(self, name: str, paths: str, *, priority: int) -> elb.ApplicationListenerRule:
        conditions = [elb.ListenerCondition.path_patterns([paths])]
        if self._config.public_load_balancer:
            conditions.append(
                elb.ListenerCondition.http_header(
                    SECRET_HEADER, [self._gateway_secret.secret_value.unsafe_unwrap()]
                )
            )
        return elb.ApplicationListenerRule(
            self,
            name,
            listener=self.listener,
            priority=priority,
            conditions=conditions,
            action=elb.ListenerAction.forward([self.targets]),
        )

    def _scale(self) -> None:
        tasks = self.service.auto_scale_task_count(
            min_capacity=self._config.min_tasks, max_capacity=self._config.max_api_tasks
        )
        tasks.scale_on_cpu_utilization(
            "Busy",
            # one of two tasks may fail, and the other then carries both halves
            target_utilization_percent=45,
            scale_in_cooldown=Duration.minutes(10),
            scale_out_cooldown=Duration.minutes(1),
        )
        tasks.scale_on_request_count(
            "Asked",
            target_group=self.targets,
            # 250 a second: a lesson begins for all at once, and a count rises before the CPU's average does
            requests_per_target=15_000,
            scale_in_cooldown=Duration.minutes(10),
            scale_out_cooldown=Duration.minutes(1),
        )
