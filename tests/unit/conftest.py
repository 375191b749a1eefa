"""Properties are judged by what they find, not by the speed of the machine that looks."""

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
