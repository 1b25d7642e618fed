"""Every named state. The words are the contract's; pages show them with capitals."""

from __future__ import annotations

from enum import StrEnum


class GatewayState(StrEnum):
    AWAITING_REGISTRATION = "awaiting-registration"
    """created in the console; no installer has paired yet"""
    PENDING = "pending"
    """registered, not configured (also right after a reset)"""
    PROVISIONING = "provisioning"
    """configured; the ten steps are under way"""
    RUNNING = "running"
    """all ten steps are done"""
    DELETING = "deleting"
    """on the way out: machines are removed, then the gateway's keys"""


class StepName(StrEnum):
    """In the order in which they run."""

    VALIDATE_CONFIGURATION = "validate-configuration"
    CONNECT = "connect"
    PREFLIGHT = "preflight"
    TEMPLATE = "template"
    ADDRESSES = "addresses"
    MACHINES = "machines"
    CONTROL_PLANE = "control-plane"
    NODES = "nodes"
    JET_INSTALLED = "jet-installed"
    JET_REGISTERED = "jet-registered"


class StepState(StrEnum):
    WAITING = "waiting"
    """not begun: an earlier step is not done"""
    RUNNING = "running"
    """begun, not done; `task` says what it does or waits for"""
    DONE = "done"
    FAILED = "failed"
    """the last try failed; `next_try` says when it is tried again"""
    BLOCKED = "blocked"
    """only a person can help; it goes on by itself once they did"""


class MachineState(StrEnum):
    CREATING = "creating"
    STARTING = "starting"
    BOOTING = "booting"
    READY = "ready"
    DELETING = "deleting"
    LOST = "lost"


class MachineRole(StrEnum):
    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


class ConditionName(StrEnum):
    DISCONNECTED = "disconnected"
    """the console has no session with the gateway"""
    STALLED = "stalled"
    """no progress for 15 minutes while provisioning or deleting"""
    CLEANING_UP = "cleaning-up"
    """machines of an earlier incarnation still exist"""
    CREDENTIALS_NEEDED = "credentials-needed"
    """the cloud's credentials are missing or were rejected"""
    WEBSOCKET_BLOCKED = "websocket-blocked"
    """WebSockets do not get through: the session goes by HTTPS long polling"""
    SUPERSEDED = "superseded"
    """another process of this gateway has taken over"""
    CLUSTER_LOST = "cluster-lost"
    """the only control-plane machine is gone; Rebuild makes a new one"""
    UPGRADE_REQUIRED = "upgrade-required"
    """the gateway's protocol version is older than the console speaks: read-only"""
    REGISTRATION_OVERDUE = "registration-overdue"
    """no registration 10 minutes after the pairing code was first used or shown"""
    CONSOLE_RESTORED = "console-restored"
    """the console was restored from a backup; a person must agree before anything changes"""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Role(StrEnum):
    """What a user may do; see `console/auth.py` for the one function that decides."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


STALLED_AFTER_SECONDS = 15 * 60
"""without progress (seed: provisioning usually takes 10 to 15 minutes)"""

REGISTRATION_OVERDUE_SECONDS = 10 * 60
"""seed: registration takes between five and ten minutes"""
