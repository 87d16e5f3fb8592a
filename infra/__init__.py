"""The infrastructure, as constructs and settings for any CDK app; app.py at the root is one.

Another app takes what `__all__` names. It is imported on demand, because the settings alone need no CDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import ConfigError, DeploymentConfig
    from .lead_delivery import LeadDelivery
    from .lead_function import Network
    from .lead_monitoring import LeadMonitoring

__all__ = ["ConfigError", "DeploymentConfig", "LeadDelivery", "LeadMonitoring", "Network"]

_MODULES = {
    "ConfigError": ".config",
    "DeploymentConfig": ".config",
    "LeadDelivery": ".lead_delivery",
    "LeadMonitoring": ".lead_monitoring",
    "Network": ".lead_function",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
