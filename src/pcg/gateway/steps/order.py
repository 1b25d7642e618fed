"""The story of a provisioning, in order. A new step is its file and its place here.

The first half is done once for every generation of what is wanted; the second half is looked at again whenever the
machines change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pcg.gateway.steps.addresses import assign_addresses
from pcg.gateway.steps.connect import connect
from pcg.gateway.steps.control_plane import control_plane
from pcg.gateway.steps.jet_installed import jet_installed
from pcg.gateway.steps.jet_registered import jet_registered
from pcg.gateway.steps.machines import machines
from pcg.gateway.steps.nodes import nodes
from pcg.gateway.steps.outcome import Outcome, Situation
from pcg.gateway.steps.preflight import preflight
from pcg.gateway.steps.template import template
from pcg.gateway.steps.validate_configuration import validate_configuration
from pcg.model.states import StepName

Step = Callable[[Situation], Awaitable[Outcome]]

ONCE: dict[StepName, Step] = {
    StepName.VALIDATE_CONFIGURATION: validate_configuration,
    StepName.CONNECT: connect,
    StepName.PREFLIGHT: preflight,
    StepName.TEMPLATE: template,
    StepName.ADDRESSES: assign_addresses,
}

ALWAYS: dict[StepName, Step] = {
    StepName.MACHINES: machines,
    StepName.CONTROL_PLANE: control_plane,
    StepName.NODES: nodes,
    StepName.JET_INSTALLED: jet_installed,
    StepName.JET_REGISTERED: jet_registered,
}
