"""Settings for the tests of the protocol."""

from hypothesis import HealthCheck, settings

# No deadline: the machine may be busy. No database: a test run leaves no files behind.
settings.register_profile(
    "protocol", max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("protocol")
