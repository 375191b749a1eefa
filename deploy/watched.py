"""What alarms and the dashboard look at."""

from dataclasses import dataclass

from deploy.api import Api
from deploy.cluster import Stores
from deploy.gateway import Gateway
from deploy.rotation import Rotation
from deploy.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The parts of the platform that tell figures."""

    stores: Stores
    worker: Worker
    api: Api
    gateway: Gateway
    rotation: Rotation
