"""All settings: one frozen struct, and where its values come from."""

from streamledger.settings.fields import FIELDS, LogLevel, Settings
from streamledger.settings.loading import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, load
from streamledger.settings.secret import Secret

__all__ = ["CONFIG_VARIABLE", "ENVIRONMENT_PREFIX", "FIELDS", "LogLevel", "Secret", "Settings", "load"]
