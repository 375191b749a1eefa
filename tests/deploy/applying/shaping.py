"""A resource's properties as the input of an API call, led by the call's own definition.

CloudFormation and the API name nearly all fields alike but for their case. What finds no field is handed
back, so that nothing is dropped in silence.
"""

import json
from typing import Any


def fit(client: Any, operation: str, properties: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The arguments of an operation (in Python's spelling), and the properties that it has no field for."""
    name = client.meta.method_to_api_mapping[operation]
    shape = client.meta.service_model.operation_model(name).input_shape
    left: set[str] = set()
    return _structure(shape, properties, "", left), left


def _structure(shape: Any, values: dict[str, Any], path: str, left: set[str]) -> dict[str, Any]:
    fields = {name.lower(): name for name in shape.members}
    fitted: dict[str, Any] = {}
    for name, value in values.items():
        field = fields.get(name.lower())
        if field is None:
            left.add(path + name)
        else:
            fitted[field] = _value(shape.members[field], value, f"{path}{name}.", left)
    return fitted


def _value(shape: Any, value: Any, path: str, left: set[str]) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(shape, value, path, left)
        case "list":
            return [_value(shape.member, one, path, left) for one in value]
        case "map":
            return {key: _value(shape.value, one, f"{path}{key}.", left) for key, one in value.items()}
        case "string":
            if isinstance(value, bool):
                return str(value).lower()
            return json.dumps(value) if isinstance(value, dict | list) else str(value)
        case "integer" | "long":
            return int(value)
        case "double" | "float":
            return float(value)
        case _:
            return value
