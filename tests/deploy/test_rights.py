"""The comparison of roles and calls: what it must notice."""

from tests.deploy.rights import UNSEEN, Role
from tests.deploy.synthesis import Synthesis, actions, synthesis
from worker.local.recording import Call
from worker.local.session import APPLICATION, STREAM

KEY = "our-key"
SECRETS = ("DATABASE_SECRET_ID", "REDIS_SECRET_ID", "IDENTITY_KEYS_SECRET_ID", "GATEWAY_SECRET_ID")
OF_THE_API = {
    *(("secretsmanager:GetSecretValue", name) for name in SECRETS),
    ("kinesis:DescribeStreamSummary", STREAM),
    ("kinesis:ListShards", STREAM),
    ("kinesis:PutRecords", STREAM),
}


def made(*calls: tuple[str, str | None]) -> set[Call]:
    return {Call("api", action, resource) for action, resource in calls}


def api() -> Role:
    return Role(synthesis("dev"), "api", KEY)


def worker() -> Role:
    return Role(synthesis("dev"), "worker", KEY)


def test_a_role_that_fits_has_no_problem() -> None:
    assert list(api().lacks(made(*OF_THE_API))) == []
    assert list(api().never_needs(made(*OF_THE_API))) == []


def test_an_action_that_is_not_allowed_is_noticed() -> None:
    (problem,) = api().lacks(made(("kinesis:DeleteStream", STREAM)))
    assert problem == f"api may not kinesis:DeleteStream on {STREAM}"


def test_an_allowed_action_on_another_resource_is_noticed() -> None:
    calls = made(
        ("kinesis:PutRecords", "another-stream"),
        ("secretsmanager:GetSecretValue", "another-secret"),
        ("kms:GenerateDataKey", "another-key"),
    )
    assert len(list(api().lacks(calls))) == 3


def test_a_table_an_index_and_a_namespace_are_told_from_others() -> None:
    good = {
        ("dynamodb:Scan", APPLICATION),
        ("dynamodb:Query", "LeaseOwnerToLeaseKeyIndex"),
        ("cloudwatch:PutMetricData", APPLICATION),
    }
    assert list(worker().lacks(made(*good))) == []
    bad = {
        ("dynamodb:Scan", f"{APPLICATION}-CoordinatorState"),
        ("dynamodb:Query", "AnotherIndex"),
        ("cloudwatch:PutMetricData", "another"),
    }
    assert len(list(worker().lacks(made(*bad)))) == 3


def test_each_right_that_is_not_used_is_noticed() -> None:
    for left_out in OF_THE_API:
        problems = list(api().never_needs(made(*OF_THE_API - {left_out})))
        assert [p for p in problems if f"never needs {left_out[0]} on" in p], left_out


def test_the_key_is_used_in_the_callers_name() -> None:
    opened = list(api().never_needs(made(("secretsmanager:GetSecretValue", SECRETS[0]))))
    assert not [p for p in opened if "kms:Decrypt" in p]
    assert [p for p in opened if "kms:GenerateDataKey" in p]


def test_a_right_of_a_service_in_the_callers_name_is_not_the_callers_own() -> None:
    """What lets AWS open a secret opens no dead letter, and the other way round."""
    own = ("kms:Decrypt", KEY)
    assert list(api().lacks(made(own))) == [f"api may not kms:Decrypt on {KEY}"]
    erase = Role(synthesis("dev"), "erase", KEY)
    assert list(erase.lacks(made(own))) == []
    assert len([p for p in erase.never_needs(made(own)) if "kms:Decrypt" in p]) == 1
    records = worker().lacks(made(("kinesis:PutRecords", STREAM)))
    assert f"worker may not kms:GenerateDataKey on {KEY} by kinesis" in list(records)


def test_what_cannot_be_seen_is_allowed_to_someone(platform: Synthesis) -> None:
    allowed = actions(platform.statements(platform.task_role("worker")))
    assert {action for action, _ in UNSEEN} <= allowed
