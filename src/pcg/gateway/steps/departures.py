"""What a machine that goes leaves behind in the cluster: its seat in etcd's quorum and its Node object.

Both are removed before another machine takes its place: with the dead member still counted, each loss would bring the
cluster nearer to having no majority. Called by the step `machines` and its `replacements`.
"""

from __future__ import annotations

from pcg.clouds.base import ObservedMachine
from pcg.errors import AskPerson, TryAgain, Unreachable
from pcg.gateway.etcd_api import CLIENT_PORT
from pcg.gateway.steps.outcome import Situation
from pcg.model.naming import MARK_ADDRESS
from pcg.model.states import Severity

REBUILD = (
    "Rebuild the gateway, on its page or by `pcg gateway rebuild NAME`: a new cluster with the same configuration."
)


GONE = "Its machine is gone"


async def take_leave(situation: Situation, name: str, because: str = GONE) -> None:
    """Safe to call again.

    Raises Unreachable or TryAgain, to come back later, and AskPerson (`cluster-lost`) without a majority.
    """
    staying = [machine for machine in situation.machines if machine.name != name]
    others = [address for machine in staying if (address := _address(machine))]
    try:
        await _leave_etcd(situation, name, others, because, every=len(others) == len(staying))
    except TryAgain as error:
        slots = len(situation.cluster.slots)
        if 2 * len(situation.machines) > slots:
            raise
        raise AskPerson(
            "The gateway cluster is lost: etcd has no majority any more.",
            reason="cluster-lost",
            evidence=[f"{len(situation.machines)} of {slots} machines are left", *error.evidence],
            cause="Too many of the control-plane machines are gone: the others can no longer agree on what etcd held.",
            remedy=[REBUILD],
        ) from error
    if situation.api_address is None:
        return
    async with situation.kubernetes(situation.api_address, situation.secrets, situation.certificate()) as api:
        await api.delete_node(name)
    situation.tell("NodeRemoved", f"{because}, so its Node object was removed.", machine=name)


def _address(machine: ObservedMachine) -> str | None:
    """Where the cloud does not tell, the one that it was made with."""
    return machine.address or machine.marks.get(MARK_ADDRESS)


async def _leave_etcd(situation: Situation, name: str, others: list[str], because: str, *, every: bool) -> None:
    """Asks the members that are left, one after the other, until one answers. `every`: no other machine is there, so
    a member that was announced from elsewhere and never began has none any more. It has no name to know it by, and
    etcd lets nobody else join as long as it waits for one (https://etcd.io/docs/v3.5/learning/design-learner/).
    """
    unheard: Unreachable | None = None
    for address in others:
        try:
            async with situation.etcd(
                f"{address}:{CLIENT_PORT}", situation.secrets, situation.etcd_certificate()
            ) as etcd:
                announced = await etcd.never_started() if every else {}
                for host, stray in announced.items():
                    if host not in others:
                        await etcd.remove(stray)
                        message = (
                            f"A member announced at {host} never began and has no machine: it was removed from etcd."
                        )
                        situation.tell("EtcdMemberRemoved", message, Severity.WARNING, machine=name)
                member = (await etcd.members()).get(name)
                if member is not None:
                    await etcd.remove(member)
                    severity = Severity.WARNING if because == GONE else Severity.INFO
                    message = f"{because}, so it was removed from etcd's members."
                    situation.tell("EtcdMemberRemoved", message, severity, machine=name)
                return
        except Unreachable as error:
            unheard = error
    raise unheard or TryAgain("No machine of the cluster is left to ask for etcd's members.", reason="etcd-unreachable")
