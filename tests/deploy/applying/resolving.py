"""References of a template: in which order resources are made, and what each of them is called then."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

_SUB = re.compile(r"\$\{([^}]+)\}")
_SECRET = re.compile(r"\{\{resolve:secretsmanager:(?P<id>.+?):SecretString:(?P<field>[^:}]*)[^}]*\}\}")


@dataclass(frozen=True)
class Made:
    """What a resource is called by `Ref`, and its attributes for `Fn::GetAtt`."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolver:
    """Values of a template with every reference filled in.

    Args:
        made: the resources so far, by logical id.
        pseudo: `AWS::Region` and the like.
        secret: a secret's value by its id, for dynamic references.
    """

    made: Mapping[str, Made]
    pseudo: Mapping[str, str]
    secret: Callable[[str, str], str]

    def resolve(self, value: Any) -> Any:
        """The value as CloudFormation would pass it on."""
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if isinstance(value, dict):
            (name, argument), *more = value.items() or [("", None)]
            if not more and (name == "Ref" or name.startswith("Fn::")):
                found = self._function(name, argument)
                return self._dynamic(found) if isinstance(found, str) else found
            return {key: self.resolve(one) for key, one in value.items()}
        return value

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._named(argument)
            case "Fn::GetAtt":
                resource, attribute = argument
                return self.made[resource].attributes[attribute]
            case "Fn::Join":
                separator, parts = argument
                return separator.join(self.resolve(part) for part in parts)
            case "Fn::Sub":
                return _SUB.sub(lambda found: self._substituted(found[1]), argument)
            case "Fn::Select":
                index, parts = argument
                return self.resolve(parts)[int(index)]
            case "Fn::Split":
                separator, whole = argument
                return self.resolve(whole).split(separator)
        raise NotImplementedError(name)

    def _named(self, name: str) -> str:
        return self.pseudo[name] if name in self.pseudo else self.made[name].ref

    def _substituted(self, name: str) -> str:
        resource, dot, attribute = name.partition(".")
        return self.made[resource].attributes[attribute] if dot else self._named(name)

    def _dynamic(self, text: str) -> str:
        return _SECRET.sub(lambda found: self.secret(found["id"], found["field"]), text)


def in_order(resources: Mapping[str, dict[str, Any]]) -> list[str]:
    """Logical ids, each after those that it refers to or waits for."""
    waits = {
        name: {one for one in _referred(resource) if one in resources} for name, resource in resources.items()
    }
    return list(TopologicalSorter(waits).static_order())


def _referred(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_referred, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*map(_referred, value.values()))
    if isinstance(value.get("Ref"), str):
        found.add(value["Ref"])
    if "Fn::GetAtt" in value:
        found.add(value["Fn::GetAtt"][0])
    if isinstance(value.get("Fn::Sub"), str):
        found |= {name.partition(".")[0] for name in _SUB.findall(value["Fn::Sub"])}
    if "DependsOn" in value and "Type" in value:
        named = value["DependsOn"]
        found |= set(named if isinstance(named, list) else [named])
    return found
