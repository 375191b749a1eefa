"""Which part of a run was full, said from the cores that each part used.

A missed goal without its reason is of no use to who wants to meet it, and a reason written by hand outlives
what it explained.
"""

from collections.abc import Mapping

_FULL = 0.85
"""So much of a core, or of all, counts as all of it: the rest goes to starting, ending and handing over."""

_TOLD = 4


def fullest(parts: Mapping[str, float], cores: int, *, most: Mapping[str, float] | None = None) -> str:
    """What binds, in words.

    Args:
        parts: cores in use by each part, on average over the run.
        cores: of the machine.
        most: how many cores a part can use, where that is known; one interpreter uses one.
    """
    largest = sorted(parts.items(), key=lambda part: -part[1])[:_TOLD]
    told = ", ".join(f"{name} {share:.0%}" for name, share in largest)
    for name, limit in (most or {}).items():
        if parts.get(name, 0.0) >= _FULL * limit:
            return f"{name}, {parts[name]:.0%} of the {limit:g} core that it can use ({told})"
    total = sum(parts.values())
    if total >= _FULL * cores:
        return f"the machine's {cores} cores, {total / cores:.0%} in use ({told} of a core)"
    return f"no processor is full, the parts wait for one another ({told} of a core, of {cores})"
