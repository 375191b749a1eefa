"""What the local stack makes, as the platform's template says: names, shards, KCL's tables.

`platform.json` is written out of the template (`python -m deploy.local`), so that laptop and cloud cannot
drift and the laptop needs no construct library.
"""

from pathlib import Path
from typing import Any, Self

import msgspec


class Platform(msgspec.Struct, frozen=True):
    """The template's stream and tables; names are patterns."""

    application: str
    stream: str
    shards: int
    tables: list[dict[str, Any]]

    @classmethod
    def read(cls) -> Self:
        """The file beside this module."""
        return msgspec.json.decode(Path(__file__).with_name("platform.json").read_bytes(), type=cls)

    def application_name(self, suffix: str) -> str:
        """The KCL application of an environment: the lease table's name."""
        return self.application.format(suffix=suffix)

    def stream_name(self, suffix: str) -> str:
        """The stream of an environment."""
        return self.stream.format(suffix=suffix)

    def kcl_tables(self, application: str) -> list[dict[str, Any]]:
        """KCL's tables of an application, each as CreateTable takes it."""
        return [
            {**table, "TableName": table["TableName"].format(application=application)}
            for table in self.tables
        ]


PLATFORM = Platform.read()
