"""The tablet: which role its server has, whether it serves, and who is told."""

from tabletd.tablet.health import Health, HealthClass
from tabletd.tablet.identity import TabletAlias, TabletType
from tabletd.tablet.role_listeners import RoleListener
from tabletd.tablet.settings import TabletSettings
from tabletd.tablet.streams import Subscription
from tabletd.tablet.tablet import Tablet

__all__ = [
    "Health",
    "HealthClass",
    "RoleListener",
    "Subscription",
    "Tablet",
    "TabletAlias",
    "TabletSettings",
    "TabletType",
]
