"""Where AWS is looked for, and how patiently it is asked.

Apart from the rest of the wiring, because the supervisor needs nothing else: Java starts when its imports are
done, on half a core.
"""

from typing import Any

from worker.settings import Settings


def endpoint(settings: Settings, service: str) -> str | None:
    """Where a service of AWS is looked for instead of at AWS itself."""
    if service == "kinesis" and settings.kinesis_endpoint_url is not None:
        return settings.kinesis_endpoint_url
    return settings.aws_endpoint_url


def client(settings: Settings, service: str, *, attempts: int = 4, seconds: float = 10) -> Any:
    """A boto3 client of the configured region and endpoint; each of its attempts may take `seconds`."""
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": attempts}
    local: dict[str, Any] = {}
    config: dict[str, Any] = {
        "retries": retries,
        "connect_timeout": seconds / 2,
        "read_timeout": seconds,
    }
    if settings.mode == "local":
        # an emulator of this machine: it takes any credentials, and no proxy stands before it
        local = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config["proxies"] = {}
    return boto3.client(
        service,
        region_name=settings.aws_region,
        endpoint_url=endpoint(settings, service),
        config=Config(**config),
        **local,
    )
