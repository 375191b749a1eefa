"""The public edge: REST API, web ACL, and who passes.

Producers sign with SigV4 and the gateway passes their ARN on beside its own secret; people bring a token of
the user pool, which the service checks again. No log here holds a query string, a body or an id: paths are
logged as templates.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from aws_cdk import Size
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.api import CALLER_HEADER, SECRET_HEADER, STAGE, Api
from deploy.config import EnvConfig
from deploy.network import Network
from deploy.people import People
from deploy.protection import protect
from deploy.secrets import Secrets
from deploy.security import Security

MOST_EVENTS = 500
_LONGEST_ID = 256

ACCESS_LOG = {
    "requestId": "$context.requestId",
    "extendedRequestId": "$context.extendedRequestId",
    "traceId": "$context.xrayTraceId",
    "time": "$context.requestTime",
    "method": "$context.httpMethod",
    # the template, never the path that was asked for
    "route": "$context.resourcePath",
    "status": "$context.status",
    "protocol": "$context.protocol",
    "responseBytes": "$context.responseLength",
    "responseMillis": "$context.responseLatency",
    "integrationStatus": "$context.integration.status",
    "integrationMillis": "$context.integration.latency",
    "errorType": "$context.error.responseType",
    "webAcl": "$context.waf.status",
}
"""A line of the access log: enough to follow a request, nothing about whom it was for."""


class Read(NamedTuple):
    """A path that people read, and the query parameters it may carry."""

    path: str
    parameters: tuple[str, ...]


READS = (
    Read(
        "metrics",
        ("student_id", "course_id", "as_of", "from", "to", "sort", "order", "limit", "cursor"),
    ),
    Read("attempts", ("student_id", "course_id", "limit", "cursor")),
    Read("disclosures", ("student_id", "limit", "cursor")),
    Read("session", ()),
)

_TEXT = apigateway.JsonSchema(type=apigateway.JsonSchemaType.STRING, min_length=1, max_length=_LONGEST_ID)
_NUMBER_OR_NULL = [apigateway.JsonSchemaType.NUMBER, apigateway.JsonSchemaType.NULL]

EVENT = apigateway.JsonSchema(
    type=apigateway.JsonSchemaType.OBJECT,
    required=["course_id", "item_id", "occurred_at"],
    properties={
        "student_id": _TEXT,
        "course_id": _TEXT,
        "item_id": _TEXT,
        "occurred_at": apigateway.JsonSchema(
            type=apigateway.JsonSchemaType.STRING, min_length=1, max_length=64
        ),
        "score": apigateway.JsonSchema(type=_NUMBER_OR_NULL),
        "max_score": apigateway.JsonSchema(type=apigateway.JsonSchemaType.NUMBER, minimum=0, maximum=1e6),
    },
)


class Gateway(Construct):
    """The REST API, its stage with logs and limits, and the web ACL before it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvConfig,
        network: Network,
        security: Security,
        secrets: Secrets,
        people: People,
        api: Api,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._service = api
        self._secret = secrets.gateway
        self._link = None if config.public_load_balancer else self._vpc_link(network)
        logs = security.log_group(self, "AccessLogs", f"/aws/apigateway/edu-analytics-{config.suffix}")
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=f"edu-analytics-api-{config.suffix}",
            description="Student analytics: events in, scores out",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=config.api_account_role,
            # with any value set, gzipped batches are inflated before they are validated
            min_compression_size=Size.kibibytes(1),
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=True,
                metrics_enabled=True,
                # errors only and never bodies: execution logs may quote what was asked
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                throttling_rate_limit=config.throttle_rate,
                throttling_burst_limit=config.throttle_burst,
                access_log_destination=apigateway.LogGroupLogDestination(logs),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG)),
            ),
        )
        if config.api_account_role:
            policy = "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
            acknowledge(
                self.api,
                {f"IAM4[Policy::{policy}]": "the role by which the service writes logs, as documented"},
            )
        self._modern_tls()
        self._key_execution_logs(security)
        self._write_route()
        self._read_routes(people)
        if config.serve_page:
            self._page_routes()
        self.web_acl = protect(self, self.api.deployment_stage, security, config.suffix)

    def _vpc_link(self, network: Network) -> apigatewayv2.VpcLink:
        return apigatewayv2.VpcLink(
            self,
            "Link",
            vpc=network.vpc,
            subnets=network.private,
            security_groups=[network.link],
            vpc_link_name=f"edu-analytics-{self._config.suffix}",
        )

    def _modern_tls(self) -> None:
        resource = self.api.node.default_child
        if isinstance(resource, apigateway.CfnRestApi):
            resource.add_property_override("SecurityPolicy", "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09")
            resource.add_property_override("EndpointAccessMode", "STRICT")

    def _key_execution_logs(self, security: Security) -> None:
        # API Gateway would make it at the first error, without key and for ever
        group = security.log_group(
            self, "ExecutionLogs", f"API-Gateway-Execution-Logs_{self.api.rest_api_id}/{STAGE}"
        )
        self.api.deployment_stage.node.add_dependency(group)

    def _write_route(self) -> None:
        event = self.api.add_model("Event", content_type="application/json", model_name="Event", schema=EVENT)
        several = apigateway.JsonSchema(
            type=apigateway.JsonSchemaType.ARRAY,
            items=apigateway.JsonSchema(ref=_reference(self.api, event)),
            min_items=1,
            max_items=MOST_EVENTS,
        )
        events = self.api.add_model(
            "Events",
            content_type="application/json",
            model_name="Events",
            schema=apigateway.JsonSchema(
                one_of=[apigateway.JsonSchema(ref=_reference(self.api, event)), several]
            ),
        )
        self._route(
            self.api.root.add_resource("students"),
            "POST",
            "students",
            headers={
                CALLER_HEADER: "context.identity.userArn",
                # resolved by CloudFormation; the template holds a reference
                SECRET_HEADER: f"'{self._secret.secret_value.unsafe_unwrap()}'",
            },
            authorization_type=apigateway.AuthorizationType.IAM,
            request_models={"application/json": events},
            request_validator=self.api.add_request_validator(
                "Body", validate_request_body=True, validate_request_parameters=True
            ),
            acknowledged={
                "COG4": "producers are machines and sign with SigV4; people's tokens do not open this route"
            },
        )

    def _read_routes(self, people: People) -> None:
        authorizer = apigateway.CognitoUserPoolsAuthorizer(self, "Token", cognito_user_pools=[people.pool])
        validator = self.api.add_request_validator(
            "Parameters", validate_request_body=False, validate_request_parameters=True
        )
        for read in READS:
            self._route(
                self.api.root.add_resource(read.path),
                "GET",
                read.path,
                # no headers: these callers are known by their tokens, and nobody vouches for them
                headers={},
                authorization_type=apigateway.AuthorizationType.COGNITO,
                authorizer=authorizer,
                request_parameters={f"method.request.querystring.{name}": False for name in read.parameters},
                request_validator=validator,
                acknowledged={},
            )

    def _page_routes(self) -> None:
        reason = "the page's own files, the same for everybody; its figures come by the routes with a token"
        public = {"APIG4": reason, "COG4": reason}
        static = self.api.root.add_resource("static").add_resource("{name}")
        for resource, path in (
            (self.api.root, ""),
            (self.api.root.add_resource("definitions"), "definitions"),
        ):
            self._route(
                resource,
                "GET",
                path,
                headers={},
                authorization_type=apigateway.AuthorizationType.NONE,
                acknowledged=public,
            )
        self._route(
            static,
            "GET",
            "static/{name}",
            headers={},
            path_parameter="name",
            authorization_type=apigateway.AuthorizationType.NONE,
            request_parameters={"method.request.path.name": True},
            acknowledged=public,
        )

    def _route(
        self,
        resource: apigateway.IResource,
        verb: str,
        path: str,
        *,
        headers: Mapping[str, str],
        acknowledged: Mapping[str, str],
        path_parameter: str | None = None,
        **options: object,
    ) -> None:
        mapping = {f"integration.request.header.{name}": value for name, value in headers.items()}
        if path_parameter is not None:
            mapping[f"integration.request.path.{path_parameter}"] = f"method.request.path.{path_parameter}"
        link = self._link
        integration = apigateway.Integration(
            type=apigateway.IntegrationType.HTTP_PROXY,
            integration_http_method=verb,
            uri=f"{self._service.address}/{path}",
            options=apigateway.IntegrationOptions(
                connection_type=apigateway.ConnectionType.VPC_LINK
                if link
                else apigateway.ConnectionType.INTERNET,
                vpc_link=apigateway.VpcLink.from_vpc_link_id(self, f"Link{verb}{path}", link.vpc_link_id)
                if link
                else None,
                request_parameters=mapping or None,
            ),
        )
        method = resource.add_method(verb, integration, **options)  # type: ignore[arg-type]  # add_method's own
        definition = method.node.default_child
        if link is not None and isinstance(definition, apigateway.CfnMethod):
            # VPC link V2 names the load balancer here; the construct library cannot say it yet
            definition.add_property_override(
                "Integration.IntegrationTarget", self._service.balancer.load_balancer_arn
            )
        acknowledge(method, dict(acknowledged))


def _reference(api: apigateway.RestApi, model: apigateway.Model) -> str:
    return f"https://apigateway.amazonaws.com/restapis/{api.rest_api_id}/models/{model.model_id}"
