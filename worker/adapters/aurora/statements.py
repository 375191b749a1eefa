"""SQL lives in .sql files, where it is read and reviewed as SQL; Python knows only names."""

import functools
import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@functools.cache
def statements(file: str = "ledger") -> dict[str, bytes]:
    """Every statement of one file in `sql/` by name."""
    text = resources.files("worker").joinpath(f"sql/{file}.sql").read_text()
    _, *parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
