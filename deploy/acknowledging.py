"""Findings of the static checks that are wanted as they are, each with its reason beside what it is about.

cdk-nag keeps quiet about an acknowledgement that fits no finding, so a test compares what is acknowledged
here with the report of a synthesis.
"""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

_PACK = "AwsSolutions"
_TEMPLATE = "CloudFormation-Validate"


def acknowledge(construct: IConstruct, findings: dict[str, str]) -> None:
    """Accept findings of AwsSolutions on a construct and all below it; reasons by rule, `S1` for short."""
    _accept(construct, {f"{_PACK}::{_PACK}-{rule}": reason for rule, reason in findings.items()})


def acknowledge_template(construct: IConstruct, findings: dict[str, str]) -> None:
    """Accept findings of the template's own validation, by rule."""
    _accept(construct, {f"{_TEMPLATE}::{rule}": reason for rule, reason in findings.items()})


def _accept(construct: IConstruct, findings: dict[str, str]) -> None:
    # with the pack's name before it the finding still stands in the report, as suppressed
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=rule, reason=reason) for rule, reason in sorted(findings.items()))
    )
