"""Who may do what on which object: a role for account and object, inherited from the nearest parent that has one.

Privileges bear vSphere's ids, because those are the words that platform engineers know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pcg.clouds.simulated.inventory import DATACENTER
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.state import State

DEPLOY_TEMPLATE = "VirtualMachine.Provisioning.DeployTemplate"
CREATE_FROM_EXISTING = "VirtualMachine.Inventory.CreateFromExisting"
DELETE = "VirtualMachine.Inventory.Delete"
POWER_ON = "VirtualMachine.Interact.PowerOn"
POWER_OFF = "VirtualMachine.Interact.PowerOff"
IMPORT = "VApp.Import"
ASSIGN_POOL = "Resource.AssignVMToPool"
ALLOCATE_SPACE = "Datastore.AllocateSpace"
ASSIGN_NETWORK = "Network.Assign"

LEAST = {
    f"/{DATACENTER}/vm/pcg": (CREATE_FROM_EXISTING, DELETE, POWER_ON, POWER_OFF),
    f"/{DATACENTER}/vm/spectro-templates": (DEPLOY_TEMPLATE, IMPORT),
    f"/{DATACENTER}/host": (ASSIGN_POOL,),
    f"/{DATACENTER}/datastore": (ALLOCATE_SPACE,),
    f"/{DATACENTER}/network": (ASSIGN_NETWORK,),
}
"""by object: exactly what a gateway's account needs, and nothing above"""

_KIND = "permission"


class Permissions:
    """`denied` counts how often each privilege was asked for and found missing."""

    def __init__(self, state: State, account: str) -> None:
        self.denied: Counter[str] = Counter()
        self._state = state
        self.account = account
        if not state.all(_KIND):
            with state.transaction():
                for path, privileges in LEAST.items():
                    self.set(path, privileges)

    def of(self, path: str) -> frozenset[str]:
        """The account's privileges on the object."""
        while path:
            role = self._state.get(_KIND, self._key(path))
            if role is not None:
                return frozenset(role["privileges"])
            path = path.rpartition("/")[0]
        return frozenset()

    def own(self, path: str) -> frozenset[str]:
        """Of the role that is set on this very object; empty when none is."""
        role = self._state.get(_KIND, self._key(path))
        return frozenset(role["privileges"]) if role else frozenset()

    def set(self, path: str, privileges: Iterable[str]) -> None:
        self._state.put(_KIND, self._key(path), {"privileges": sorted(privileges)})

    def has(self, privilege: str, path: str) -> bool:
        granted = privilege in self.of(path)
        self.denied[privilege] += not granted
        return granted

    def demand(self, *needs: tuple[str, str]) -> None:
        """Pairs of privilege and object. Raises Refusal `no-permission` for the first that is missing."""
        for privilege, path in needs:
            if not self.has(privilege, path):
                fields = {"privilege": privilege, "object": path, "account": self.account}
                raise Refusal("no-permission", f"{self.account} lacks {privilege} on {path}.", fields)

    def _key(self, path: str) -> str:
        return f"{self.account} {path}"
