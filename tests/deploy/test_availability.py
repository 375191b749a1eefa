"""What a failed zone, task or deployment costs: two of everything, and a way back."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.deploy.synthesis import Synthesis, synthesis


def test_stores_stand_in_two_zones(anywhere: Synthesis) -> None:
    zone = {
        name: r["Properties"]["AvailabilityZone"]
        for name, r in anywhere.resources("AWS::EC2::Subnet").items()
    }
    for subnets in (
        anywhere.only("AWS::RDS::DBSubnetGroup")["SubnetIds"],
        anywhere.only("AWS::ElastiCache::SubnetGroup")["SubnetIds"],
        [m["SubnetId"] for m in anywhere.properties("AWS::EFS::MountTarget")],
        *(
            s["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
            for s in anywhere.properties("AWS::ECS::Service")
        ),
        anywhere.only("AWS::ElasticLoadBalancingV2::LoadBalancer")["Subnets"],
    ):
        assert {zone[s["Ref"]] for s in subnets} == {"ap-northeast-1a", "ap-northeast-1c"}


def test_redis_fails_over(anywhere: Synthesis) -> None:
    group = anywhere.only("AWS::ElastiCache::ReplicationGroup")
    assert group["AutomaticFailoverEnabled"] is True
    assert group["MultiAZEnabled"] is True
    assert group["NumCacheClusters"] >= 2


def test_aurora_has_an_heir(anywhere: Synthesis) -> None:
    tiers = [i["PromotionTier"] for i in anywhere.properties("AWS::RDS::DBInstance")]
    # tiers 0 and 1 follow the writer's size
    assert sorted(tiers) == [0, 1]


def test_state_outlives_a_mistake() -> None:
    prod = synthesis("prod")
    kept = {
        "AWS::Kinesis::Stream": "Retain",
        "AWS::DynamoDB::Table": "Retain",
        "AWS::KMS::Key": "Retain",
        "AWS::EFS::FileSystem": "Retain",
        "AWS::SecretsManager::Secret": "Retain",
        "AWS::Cognito::UserPool": "Retain",
        "AWS::RDS::DBCluster": "Snapshot",
    }
    for kind, policy in kept.items():
        assert {r["DeletionPolicy"] for r in prod.resources(kind).values()} == {policy}
    assert prod.only("AWS::RDS::DBCluster")["DeletionProtection"] is True
    assert all(t["DeletionProtectionEnabled"] for t in prod.properties("AWS::DynamoDB::Table"))
    assert prod.only("AWS::Cognito::UserPool")["DeletionProtection"] == "ACTIVE"


@pytest.mark.parametrize("name", ["worker", "api"])
def test_at_least_two_tasks(anywhere: Synthesis, name: str) -> None:
    targets = [
        t
        for t in anywhere.properties("AWS::ApplicationAutoScaling::ScalableTarget")
        if name in str(t["ResourceId"]).lower()
    ]
    (target,) = targets
    assert target["MinCapacity"] == 2
    limit = anywhere.config.shards if name == "worker" else anywhere.config.max_api_tasks
    assert 2 <= target["MaxCapacity"] <= limit


@pytest.mark.parametrize("name", ["worker", "api"])
def test_a_bad_deployment_goes_back(anywhere: Synthesis, name: str) -> None:
    deployment = anywhere.service(name)["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (100, 200)
    assert anywhere.service(name)["AvailabilityZoneRebalancing"] == "ENABLED"


@pytest.mark.parametrize("name", ["worker", "api"])
def test_an_ill_task_is_replaced_within_a_minute(anywhere: Synthesis, name: str) -> None:
    check = anywhere.container(name)["HealthCheck"]
    assert check["Command"][:2] == ["CMD", "python"]
    assert "/healthz" in check["Command"][-1]
    assert check["Interval"] * check["Retries"] <= 60


def test_a_stop_leaves_time_for_the_longest_flush(anywhere: Synthesis) -> None:
    told = anywhere.environment("worker")
    flush = int(told["REDIS_PATIENCE_SECONDS"])
    grace = int(told["SHUTDOWN_GRACE_MILLIS"]) / 1000
    # children leave for 2 s, the supervisor waits 15 s longer than KCL and gives its leases back for 5
    steps = [flush, grace, grace + 22, anywhere.container("worker")["StopTimeout"], 120.1]
    assert all(earlier < later for earlier, later in pairwise(steps))


def test_one_task_can_hold_every_shard(anywhere: Synthesis) -> None:
    leases = int(anywhere.environment("worker")["MAX_LEASES"])
    assert leases >= anywhere.only("AWS::Kinesis::Stream")["ShardCount"]
    assert 380 + 120 * leases <= int(anywhere.task("worker")["Memory"])


def test_lateness_scales_out_and_idleness_in(anywhere: Synthesis) -> None:
    policies = [
        p
        for p in anywhere.properties("AWS::ApplicationAutoScaling::ScalingPolicy")
        if p["PolicyType"] == "StepScaling"
    ]
    (late,) = policies
    steps = late["StepScalingPolicyConfiguration"]
    # bounds are relative to the alarm's 60 s
    assert [
        (s["MetricIntervalLowerBound"], s.get("MetricIntervalUpperBound"), s["ScalingAdjustment"])
        for s in steps["StepAdjustments"]
    ] == [(0, 240_000, 1), (240_000, None, 2)]
    assert steps["AdjustmentType"] == "ChangeInCapacity"
    (alarm,) = (
        a
        for a in anywhere.properties("AWS::CloudWatch::Alarm")
        if a.get("AlarmDescription") == "Upper threshold scaling alarm"
    )
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == (
        f"edu-analytics-{anywhere.config.suffix}",
        "MillisBehindLatest",
        "Maximum",
        60_000,
    )
    tracked = [
        p["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]["PredefinedMetricType"]
        for p in anywhere.properties("AWS::ApplicationAutoScaling::ScalingPolicy")
        if p["PolicyType"] == "TargetTrackingScaling"
    ]
    assert sorted(tracked) == [
        "ALBRequestCountPerTarget",
        "ECSServiceAverageCPUUtilization",
        "ECSServiceAverageCPUUtilization",
    ]


def test_every_alarm_names_its_runbook_and_calls_somebody(anywhere: Synthesis) -> None:
    topic = {"Ref": anywhere.id_of("AWS::SNS::Topic")}
    alarms = [
        a
        for a in (
            *anywhere.properties("AWS::CloudWatch::Alarm"),
            *anywhere.properties("AWS::CloudWatch::CompositeAlarm"),
        )
        if "scaling alarm" not in a["AlarmDescription"]
    ]
    assert len(alarms) >= 15
    for alarm in alarms:
        assert " Runbook: " in alarm["AlarmDescription"]
        assert topic in alarm["AlarmActions"]


def test_a_dead_fleet_is_late(anywhere: Synthesis) -> None:
    (alarm,) = (
        a
        for a in anywhere.properties("AWS::CloudWatch::Alarm")
        if a["AlarmDescription"].endswith("or no worker reports at all. Runbook: Scores are late")
    )
    assert alarm["TreatMissingData"] == "breaching"


def test_a_night_without_retention_is_noticed_however_it_failed(anywhere: Synthesis) -> None:
    (alarm,) = (
        a
        for a in anywhere.properties("AWS::CloudWatch::Alarm")
        if a["AlarmDescription"].endswith("Runbook: What has expired is still there")
    )
    assert (alarm["MetricName"], alarm["Statistic"]) == ("Done", "Maximum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching", "nothing is told of a run that never began"
    hours = alarm["EvaluationPeriods"] * alarm["Period"] / 3_600
    assert alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"]
    assert 24 < hours <= 30
    # longer spans are looked at only in periods of an hour or more
    assert alarm["Period"] == 3_600


def test_every_runbook_heading_exists_and_is_needed(anywhere: Synthesis) -> None:
    runbook = Path(__file__).parents[2] / "deploy" / "RUNBOOK.md"
    headings = {line[3:] for line in runbook.read_text().splitlines() if line.startswith("## ")}
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    named = {
        alarm["AlarmDescription"].split(" Runbook: ")[1]
        for kind in kinds
        for alarm in anywhere.properties(kind)
        if " Runbook: " in alarm["AlarmDescription"]
    }
    assert named == headings
