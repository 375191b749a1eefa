"""One environment, composed: read this first, it is the architecture's picture in words.

One stack, because one key encrypts everything: across stacks its grants become cycles or silently vanish.
"""

from typing import Any

from aws_cdk import CfnOutput, Stack, Tags
from constructs import Construct

from deploy.api import Api
from deploy.cluster import Cluster, Stores
from deploy.config import EnvConfig
from deploy.files import Files
from deploy.gateway import Gateway
from deploy.jobs import Jobs
from deploy.ledger import Ledger
from deploy.monitoring import Monitoring
from deploy.network import Network
from deploy.nightly import Nightly
from deploy.people import People
from deploy.projection import Projection
from deploy.rotation import Rotation
from deploy.secrets import Secrets
from deploy.security import Security
from deploy.stream import Stream
from deploy.watched import Watched
from deploy.worker import Worker


class EduAnalytics(Stack):
    """The platform of one environment."""

    def __init__(self, scope: Construct, *, config: EnvConfig, **options: Any) -> None:
        self._zones = list(config.zones)
        super().__init__(
            scope,
            f"EduAnalytics-{config.suffix}",
            description="Real-time student analytics",
            termination_protection=config.prod,
            **options,
        )
        Tags.of(self).add("application", "edu-analytics")
        Tags.of(self).add("environment", config.suffix)

        security = Security(self, "Security", config=config)
        network = Network(self, "Network", config=config, security=security)
        secrets = Secrets(self, "Secrets", config=config, security=security)
        stores = Stores(
            stream=Stream(self, "Stream", config=config, security=security),
            ledger=Ledger(self, "Ledger", config=config, network=network, security=security),
            projection=Projection(
                self, "Projection", config=config, network=network, security=security, secrets=secrets
            ),
            files=Files(self, "Files", config=config, network=network, security=security),
            secrets=secrets,
        )
        cluster = Cluster(self, "Cluster", config=config, network=network, security=security, stores=stores)
        worker = Worker(self, "Worker", config=config, network=network, cluster=cluster, stores=stores)
        jobs = Jobs(self, "Jobs", config=config, cluster=cluster, stores=stores)
        Nightly(self, "Nightly", config=config, network=network, cluster=cluster, jobs=jobs)
        rotation = Rotation(
            self, "Rotation", config=config, network=network, security=security, stores=stores
        )
        people = People(self, "People", config=config, security=security)
        api = Api(self, "Api", config=config, network=network, cluster=cluster, stores=stores, people=people)
        gateway = Gateway(
            self,
            "Gateway",
            config=config,
            network=network,
            security=security,
            secrets=secrets,
            people=people,
            api=api,
        )
        Monitoring(
            self,
            "Monitoring",
            config=config,
            security=security,
            watched=Watched(stores=stores, worker=worker, api=api, gateway=gateway, rotation=rotation),
        )
        self._tell("ApiUrl", gateway.api.url)
        self._tell("StreamName", config.stream_name)
        self._tell("UserPoolId", people.pool.user_pool_id)
        self._tell("UserPoolClientId", people.client.user_pool_client_id)
        self._tell("ClusterName", cluster.cluster.cluster_name)
        self._tell("PrivateSubnets", ",".join(network.private_ids))
        self._tell("JobsSecurityGroup", network.jobs.security_group_id)

    @property
    def availability_zones(self) -> list[str]:
        """The configured zones; asking AWS for them would need credentials at synth."""
        return self._zones

    def _tell(self, name: str, value: str) -> None:
        CfnOutput(self, name, value=value)
