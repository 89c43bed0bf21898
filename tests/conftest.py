"""What all tests share: no property has a time limit, for machines are noisy."""

from hypothesis import HealthCheck, settings

settings.register_profile("accord", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("accord")
