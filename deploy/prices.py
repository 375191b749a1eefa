"""What AWS charges in Tokyo, in US dollars, as remembered from its public lists: look again before quoting.

One file, so that a new price is one changed line; `AS_OF` says how old the others are.
"""

AS_OF = "2026-11"

HOURS = 730
"""Hours of a month."""

SECONDS = HOURS * 3_600

AURORA_ACU_HOUR = 0.20
AURORA_INSTANCE_HOUR, AURORA_INSTANCE_CORES = 0.332, 2
"""One db.r7g.large, which has 16 GiB."""
AURORA_IO_MILLION, AURORA_IO_BYTES = 0.24, 4096
AURORA_GB_MONTH = 0.12
AURORA_OPTIMIZED, AURORA_OPTIMIZED_STORAGE = 1.3, 2.25
"""Times the price of an ACU or an instance, and of a gigabyte, where no I/O is billed."""
NAT_HOUR = 0.062
NAT_GB = 0.062
ENDPOINT_HOUR = 0.014
ENDPOINT_GB = 0.01
FARGATE_CPU_HOUR = {"ARM64": 0.04045, "X86_64": 0.05056}
FARGATE_GB_HOUR = {"ARM64": 0.00442, "X86_64": 0.00553}
REDIS_NODE_HOUR = {
    "cache.t4g.micro": 0.0248,
    "cache.t4g.small": 0.0496,
    "cache.t4g.medium": 0.0992,
    "cache.m7g.large": 0.195,
    "cache.m7g.xlarge": 0.389,
    "cache.m7g.2xlarge": 0.777,
}
ZONE_GB = 0.01
"""Between zones; where one end is a managed store, only the other end pays."""
TABLE_READ_MILLION, TABLE_WRITE_MILLION = 0.1425, 0.715
"""DynamoDB on demand, units of 4 and of 1 KiB."""
SHARD_HOUR = 0.0195
EXTENDED_RETENTION_SHARD_HOUR = 0.026
"""For what is kept longer than a day and up to a week."""
SHARD_METRIC_MONTH = 0.30
SHARD_METRICS = 7
PUT_UNIT_MILLION = 0.0215
PUT_UNIT_BYTES = 25 * 1024
ALB_HOUR = 0.0243
ALB_LCU_HOUR = 0.008
ALB_LCU_NEW_CONNECTIONS, ALB_LCU_BYTES_HOUR = 25, 1e9
REST_MILLION = ((333, 4.25), (667, 3.53), (19_000, 3.00), (float("inf"), 1.91))
"""Millions of requests in each tier, and the price of one million there."""
WAF_MONTH = 5 + 4 * 1.0
"""One web ACL with four rules."""
WAF_MILLION = 0.60
XRAY_MILLION = 5.0
XRAY_SAMPLED = 0.05
LOG_GB = 0.76
ACCESS_LOG_BYTES = 350
KEY_MONTH = 1.0
SECRET_MONTH = 0.40
ALARM_MONTH = 0.10
METRIC_MONTH = 0.30
DASHBOARD_MONTH = 3.0
CONTAINER_INSIGHTS_MONTH = 12.0
