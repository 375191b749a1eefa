"""What the local stack has in common with the platform, taken from the template: stream, shards, tables.

`make up` and `make demo` must make what a deployment makes, and must not need the construct library, which is
half a gigabyte. So the few definitions they need are written out of the template into a file of the worker's
package, and a test compares it with the template. `python -m deploy.local` writes it anew.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy.config import EnvConfig, dev

FILE = Path(__file__).parent.parent / "worker" / "local" / "platform.json"

_OF_A_TABLE = (
    "TableName",
    "KeySchema",
    "AttributeDefinitions",
    "GlobalSecondaryIndexes",
    "BillingMode",
)
"""What decides whether KCL works; keys, backups and protection mean nothing to an emulator."""


def extract(template: dict[str, Any], config: EnvConfig) -> dict[str, Any]:
    """The local stack's share of a template; names become patterns of `{suffix}` and `{application}`."""
    resources = template["Resources"].values()
    (stream,) = (r["Properties"] for r in resources if r["Type"] == "AWS::Kinesis::Stream")
    tables = [r["Properties"] for r in resources if r["Type"] == "AWS::DynamoDB::Table"]
    application = config.application_name
    return {
        "application": _pattern(application, config.suffix, "suffix"),
        "stream": _pattern(stream["Name"], config.suffix, "suffix"),
        "shards": stream["ShardCount"],
        "tables": [
            {name: table[name] for name in _OF_A_TABLE if name in table}
            | {"TableName": _pattern(table["TableName"], application, "application")}
            for table in sorted(tables, key=lambda t: str(t["TableName"]))
        ],
    }


def text(template: dict[str, Any], config: EnvConfig) -> str:
    """The file's content."""
    return json.dumps(extract(template, config), indent=2) + "\n"


def _pattern(name: str, part: str, called: str) -> str:
    if name.count(part) != 1:
        raise ValueError(f"{name!r} should hold {part!r} once, to be a pattern of {{{called}}}")
    return name.replace(part, f"{{{called}}}")


def main() -> None:
    """Synthesize dev and write the file."""
    from deploy.app import build  # noqa: PLC0415 - loads the construct library, which a reader can do without

    config = dev()
    with TemporaryDirectory() as folder:
        assembly = build(config, outdir=folder).synth()
        template = assembly.get_stack_by_name(f"EduAnalytics-{config.suffix}").template
    FILE.write_text(text(template, config))
    print(FILE)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
