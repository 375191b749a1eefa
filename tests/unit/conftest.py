"""Properties are judged by what they find, not by the speed of the machine that looks.

Each run looks elsewhere. `HYPOTHESIS=thorough` looks at ten times as much where a property names no number.
"""

import os

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS", "unit"))
