"""The template applied to an emulator through its own API; describe calls tell what came of it.

It proves the template against an emulator of the API, not against AWS: names of fields, references, order
and figures. Types that the emulator does not know are listed in `kinds.py`.
"""
