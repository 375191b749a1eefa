"""What an api process counts, for Prometheus and for the product's figures in CloudWatch."""

from prometheus_client import Counter, Histogram

from worker.metrics import PREFIX, SECONDS

REQUESTS = Counter(
    f"{PREFIX}api_requests_total", "Requests by route and status.", ("route", "method", "status")
)
REQUEST_SECONDS = Histogram(
    f"{PREFIX}api_request_seconds", "From a request's head to its answer's.", ("route",), buckets=SECONDS
)
EVENTS = Counter(f"{PREFIX}api_events_total", "Events accepted into the stream, and rejected.", ("outcome",))
DISCLOSURES = Counter(f"{PREFIX}api_disclosures_total", "Disclosures written down.")
