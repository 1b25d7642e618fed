"""What a drill is: which cause of which scenario, how it is caused for real, when, and what proves the recovery.

The files of `pcg.cli.drills` declare them; `play` plays them, against the processes of a `Scene`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from pcg.model.states import StepName

if TYPE_CHECKING:
    from pcg.cli.drilling.scene import Scene

FOUND_SECONDS = 60.0
"""within which the cause must be named: the slowest, a name server that does not answer, takes about half of it"""

RECOVERED_SECONDS = 60.0
"""after the cause has gone; CONTRACT of `pcg drill`"""


class Kind(StrEnum):
    """Where the fault is."""

    INPUT = "input"
    NETWORK = "network"
    CLOUD = "cloud"
    CLUSTER = "cluster"
    CONSOLE = "console"


class Stage(StrEnum):
    """A moment in the life of a gateway that is no step of its provisioning."""

    START = "start"
    """the installer has not been started"""
    CONNECTED = "connected"
    """registered, and its session with the console is up; not configured"""
    RUNNING = "running"
    """all steps are done"""


class Way(StrEnum):
    """How the installer reaches the console."""

    DIRECT = "direct"
    EDGE = "edge"
    """by the name that the data center's name server knows, through its relay and what opens TLS"""
    PROXY = "proxy"
    """the same, and through the data center's forward proxy"""


Change = Callable[["Scene", dict[str, Any]], None]
"""of the configuration that is asked for"""


class Trouble(Protocol):
    """What is wrong. `hits` is the faulty part's own counter of how often it struck."""

    async def on(self, scene: Scene) -> None: ...

    async def off(self, scene: Scene) -> None: ...

    async def hits(self, scene: Scene) -> int: ...


@dataclass(frozen=True)
class Fault:
    """A named fault of the data center, or of its edge."""

    name: str
    cuts: bool = False
    """what stands is cut when it comes, so that it meets the fault: for faults of what connects from then on"""
    again: bool = False
    """afterwards the configuration is given once more, and the password with it: one that was refused is not retried"""

    async def on(self, scene: Scene) -> None:
        await scene.lab.switch(self.name, on=True)
        if self.cuts:
            await scene.cut()

    async def off(self, scene: Scene) -> None:
        await scene.lab.switch(self.name, on=False)
        if self.again:
            await scene.configure()

    async def hits(self, scene: Scene) -> int:
        return await scene.lab.hits(self.name)


@dataclass(frozen=True)
class Given:
    """What an installer is given. What is empty is right."""

    endpoint: str = ""
    code: str | None = None
    """None: the right one; empty: none"""
    options: tuple[str, ...] = ()
    bare: bool = False
    """nothing but `options`"""


@dataclass(frozen=True)
class WrongInput:
    """An installer is given something wrong, and then, with the same state, what is right."""

    wrong: Callable[[Scene], Awaitable[Given]]
    told: str = ""
    """in its own words on its screen: each such line is a hit"""
    right: Callable[[Scene], Awaitable[Given]] | None = None
    """default: everything right"""
    refused: str = ""
    """the reason for which the console refuses it: its own counter of such refusals counts, instead of `told`"""

    async def on(self, scene: Scene) -> None:
        scene.given = await self.wrong(scene)

    async def off(self, scene: Scene) -> None:
        await scene.give(await self.right(scene) if self.right else Given())

    async def hits(self, scene: Scene) -> int:
        if self.refused:
            return await scene.console_counted("pcg_refused_registrations_total", f'reason="{self.refused}"')
        return sum(self.told in line for line in scene.screen)


@dataclass(frozen=True)
class WrongConfiguration:
    """The gateway is configured wrongly, and then right."""

    wrong: Change
    told: str
    """in the words of its events: each such event is a hit"""

    async def on(self, scene: Scene) -> None:
        scene.change = self.wrong

    async def off(self, scene: Scene) -> None:
        scene.change = None
        await scene.configure()

    async def hits(self, scene: Scene) -> int:
        return sum(self.told in message for message in await scene.failures())


@dataclass(frozen=True)
class Act:
    """Something done by hand: to the console, to a machine, to a file. Each of the three gets the scene."""

    begin: Callable[[Scene], Awaitable[None]]
    end: Callable[[Scene], Awaitable[None]]
    count: Callable[[Scene], Awaitable[int]]

    async def on(self, scene: Scene) -> None:
        await self.begin(scene)

    async def off(self, scene: Scene) -> None:
        await self.end(scene)

    async def hits(self, scene: Scene) -> int:
        return await self.count(scene)


@dataclass(frozen=True)
class Drill:
    cause: str
    kind: Kind
    trouble: Trouble
    when: Stage | StepName = Stage.CONNECTED
    """what has been reached when the trouble comes; a step: it is at work"""
    leads_to: Stage | StepName = Stage.RUNNING
    """what proves the recovery; a step: it is done, and the next is reached. One of a scenario goes all the way"""
    nodes: int = 1
    cloud: str = "simulated"
    way: Way = Way.DIRECT
    notice: bool = False
    """expected: told with severity info, and no warning or error beside it"""
    unconfigured: bool = False
    """the gateway is not configured while the trouble lasts: the trouble's end is that it is"""
    nothing_lost: bool = False
    """the recovery is complete only when the console has every event that the gateway wrote meanwhile"""
    options: tuple[str, ...] = ()
    """more of `pcg install`"""
    change: Change | None = None
    """of the configuration that is asked for"""
    found_within: float = FOUND_SECONDS
    """seconds"""
    environment: dict[str, str] = field(default_factory=dict)
    """of the installer, more than this process's own"""
    console: tuple[str, ...] = ()
    """more of `pcg console serve`, of a console of its own"""
    jet_speed: float = 1.0
    """how many times faster than real life the installer's jet is tried again; each try is a process"""

    @property
    def looks_at_steps(self) -> bool:
        return isinstance(self.leads_to, StepName) or isinstance(self.when, StepName)

    @property
    def configures(self) -> bool:
        return self.looks_at_steps or self.leads_to is Stage.RUNNING


@dataclass(frozen=True)
class Played:
    """One row of the table. `seconds` from the first process's start to the end."""

    scenario: str
    cause: str
    kind: Kind
    caused: bool
    found: bool
    only: bool
    recovered: bool
    seconds: float
    others: tuple[str, ...] = ()
    """other warnings and errors that were seen"""
    trouble: str = ""
    """why it ended early"""

    @property
    def as_expected(self) -> bool:
        return self.caused and self.found and self.only and self.recovered
