"""One gateway's world in simulated time: a cloud, a console (a mock that speaks the true protocol), and the gateway's
own code, killed and started again as the test wants. The gateway's disk outlives its incarnations.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from doubles.console import ConsoleDouble, PipeEnd
from pcg.clock import LoopClock
from pcg.clouds.base import ObservedMachine
from pcg.errors import Unreachable
from pcg.gateway.connection import Party
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.session import Session
from pcg.gateway.steps.outcome import JetEndpoint
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState, SealedCredentials
from pcg.model.naming import machine_name
from pcg.model.records import GatewayStatus
from pcg.model.states import StepName, StepState
from pcg.network.address_in_use import AddressAnswer, Presence
from pcg.sealing import encoding
from pcg.sealing.boxes import seal, seal_credentials
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames
from property.crash import CrashingCloud, CrashingStore, Fuse, Killed
from property.fake_cloud import nothing_is_tried

GATEWAY = "0123abcd-0000-4000-8000-000000000001"
NAME = "world"
PATIENCE = 3 * 3600.0
"""simulated seconds after which something is taken for stuck"""

KEYS = GatewayKeys(SigningKey(b"\1" * 32), GatewayKeys.generate().opening, b"\3" * 32)


@dataclass
class World:
    """`cloud` is what reconcilers connect to; `kubernetes` and `etcd` make clients of the cluster's APIs."""

    folder: Path
    cloud: Any
    kubernetes: Any
    etcd: Any
    machines: Callable[[], Sequence[ObservedMachine]]
    document: dict[str, Any]
    password: str = "secret"
    console: ConsoleDouble = field(default_factory=ConsoleDouble)
    desired: DesiredState | None = None
    committed: dict[str, int] = field(default_factory=dict)
    """last number of each writer that was committed on the gateway's disk"""
    kills: int = 0
    restored: bool = False
    copies: list[Path] = field(default_factory=list)
    heard_before: int = 0
    """frames that the console had received when the present incarnation began"""

    def __post_init__(self) -> None:
        self.console.gateway_signing = KEYS.public_signing
        self.console.greet = self._greet

    # What a person does in the console.

    async def configure(self) -> None:
        configuration, _ = parse_configuration(self.document)
        sealed = seal_credentials(KEYS.public_sealing, GATEWAY, configuration.vcenter, self.password)
        credentials = SealedCredentials(version="1", ciphertext=sealed)
        await self._want(
            mode="run",
            configuration=configuration,
            credentials=credentials,
            jet_token=seal(KEYS.public_sealing, b"jet-token"),
        )

    async def reset(self) -> None:
        assert self.desired is not None
        await self._want(mode="idle", incarnation=self.desired.incarnation + 1, jet_token=None)

    async def rebuild(self) -> None:
        assert self.desired is not None
        await self._want(incarnation=self.desired.incarnation + 1, jet_token=seal(KEYS.public_sealing, b"another"))

    async def delete(self) -> None:
        await self._want(mode="delete", jet_token=None)

    async def _want(self, **changes: Any) -> None:
        known = self.desired or DesiredState(generation=0, incarnation=1, mode="idle")
        self.desired = known.model_copy(update={"generation": known.generation + 1, **changes})
        if self.console.ends and not self.console.away:
            await self._send(frames.Desired(state=self.desired))

    async def _greet(self, end: PipeEnd) -> None:
        if self.desired is not None:
            await end.send(frames.encode(frames.Desired(state=self.desired)))

    async def _send(self, frame: frames.Frame) -> None:
        try:
            await self.console.send(frame)
        except Unreachable:
            return  # the gateway is away; it is told when it comes back

    # What a person sees in the console.

    @property
    def status(self) -> GatewayStatus | None:
        # Of this incarnation: what an earlier one told need not hold for the disk that was put back since.
        told = [frame for frame in self.console.received[self.heard_before :] if isinstance(frame, frames.Status)]
        return max(told, key=lambda frame: (frame.term, frame.revision)).status if told else None

    def running(self) -> bool:
        status = self.status
        return (
            status is not None
            and self.desired is not None
            and status.generation == self.desired.generation
            and len(status.steps) == len(StepName)
            and all(step.state is StepState.DONE for step in status.steps)
        )

    def clean(self) -> bool:
        status = self.status
        return (
            status is not None
            and self.desired is not None
            and (status.generation, status.clean) == (self.desired.generation, True)
            and not status.machines
        )

    def ours(self) -> list[ObservedMachine]:
        return [machine for machine in self.machines() if machine.belongs_to(GATEWAY) and machine.genuine]

    def name_of(self, ordinal: int, incarnation: int = 1) -> str:
        return machine_name(GATEWAY, NAME, incarnation, ordinal)

    # Time goes on.

    async def until(self, goal: Callable[[], bool], fuses: Sequence[int] = (), restore: bool = False) -> None:
        """Run the gateway until the goal, killed as its fuses burn down, each time started again."""
        for length in [*fuses, None]:
            if await self._incarnation(goal, Fuse(length)):
                return
            self.kills += 1
            if restore:
                self._swap_disk()
        raise AssertionError("the last incarnation has no fuse")

    async def _incarnation(self, goal: Callable[[], bool], fuse: Fuse) -> bool:
        """Whether the goal was reached; else the incarnation was killed."""
        try:
            store = CrashingStore(self.folder / "gateway.db", fuse)
        except Killed:
            return False
        clock = LoopClock()
        self.heard_before = len(self.console.received)
        reached = asyncio.ensure_future(_reached(goal))
        works: list[asyncio.Future[Any]] = []
        try:
            reconciler = Reconciler(
                gateway_id=GATEWAY,
                gateway_name=NAME,
                jet=JetEndpoint("https://console.example", "CA"),
                keys=KEYS,
                store=store,
                clock=clock,
                cloud_of=lambda kind: CrashingCloud(self.cloud, fuse),
                kubernetes=self.kubernetes,
                etcd=self.etcd,
                ask_who_has=nobody_answers,
                look_ahead=nothing_is_tried,
            )
            party = Party(
                gateway_id=GATEWAY,
                console_id=self.console.console_id,
                identity_key=encoding.encode(bytes(self.console.identity.verify_key)),
                keys=KEYS,
                store=store,
                clock=clock,
                status=reconciler,
                want=reconciler.want,
                requests={},
            )
            works = [
                asyncio.ensure_future(reconciler.run()),
                asyncio.ensure_future(Session(party, self.console.dial).run()),
            ]
            done, _ = await asyncio.wait([reached, *works], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise AssertionError(f"stuck: {self.status}")
            for work in works:
                if work.done() and not isinstance(work.exception(), Killed):
                    raise AssertionError(f"a part of the gateway ended: {work.exception()!r}")
            if reached.done():
                reached.result()  # a goal that cannot be looked at is a mistake of the test
            return reached.done()
        finally:
            fuse.dead = True
            for work in [reached, *works]:
                work.cancel()
            await asyncio.gather(reached, *works, return_exceptions=True)
            if self.console.ends:
                await self.console.ends[-1].close()
            self.committed[store.writer] = store.durable
            store.close()

    def _swap_disk(self) -> None:
        """Keep a copy of the disk; at every second kill, put the oldest copy back: a snapshot was restored."""
        copy = self.folder / f"copy-{self.kills}"
        copy.mkdir()
        for file in self.folder.glob("gateway.db*"):
            shutil.copy(file, copy)
        self.copies.append(copy)
        if self.kills % 2 == 0:
            for file in self.folder.glob("gateway.db*"):
                file.unlink()
            for file in self.copies[0].iterdir():
                shutil.copy(file, self.folder)
            self.restored = True

    # What must hold.

    def check_events(self) -> None:
        """Each once and in order; and, where no disk was restored, all that were ever committed."""
        by_writer: dict[str, list[int]] = {}
        for writer, number, _ in self.console.events:
            by_writer.setdefault(writer, []).append(number)
        for numbers in by_writer.values():
            assert numbers == sorted(set(numbers))
        if not self.restored:
            written = {writer: list(range(1, last + 1)) for writer, last in self.committed.items() if last}
            assert by_writer == written


async def nobody_answers(address: str) -> AddressAnswer:
    """A network on which only the gateway's own claims keep addresses apart."""
    return AddressAnswer(Presence.CANNOT_TELL, f"{address} is not asked in simulated time")


async def _reached(goal: Callable[[], bool]) -> None:
    # Looked at in simulated time, so this costs nothing and hides no race.
    while not goal():
        await asyncio.sleep(0.5)
