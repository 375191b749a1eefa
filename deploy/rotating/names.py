"""Names in the databases that platform, product and functions mean alike; a test compares them."""

APPLICATION_ROLE = "edu_app"
"""Holds the rights of worker and API; nobody enters as it."""

APPLICATION_USERS = ("edu_app_a", "edu_app_b")
"""Its members, one of which is in use."""

REDIS_RIGHTS = "on ~* -@all +@read +@write +@scripting +@connection +@transaction -@dangerous"
"""What the scripts and reads need; CONFIG, KEYS, FLUSHALL and the like are dangerous."""
