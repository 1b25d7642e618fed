"""By which CAs the console may prove itself to this gateway: the one of the pairing, until the console's session tells
of the next (docs/decisions/0012). Durable before it counts; every later dial uses it, and jet here and in the cluster.

Told CAs may be believed: the console has signed the session's challenge with the identity key of the registration. Made
by the agent.
"""

from __future__ import annotations

from collections.abc import Callable

from pcg.clock import Clock
from pcg.errors import InvalidInput, SetupMissing, Unreachable
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import Event, GatewayStatus
from pcg.model.states import Severity
from pcg.network.endpoint import Endpoint
from pcg.network.pins import ends_of, spki_pins
from pcg.network.polling import open_polling
from pcg.network.proxies import Proxies
from pcg.network.trust import Trust
from pcg.network.websocket import Transport, open_websocket

_TOLD = "console-ca"
"""memory: the pins that the last event told, or that they could not be read"""


class ConsoleTrust:
    def __init__(
        self,
        state: StateDirectory,
        registration: Registration,
        store: GatewayStore,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._state = state
        self._registration = registration
        self._store = store
        self._clock = clock
        self._say = say

    @property
    def registration(self) -> Registration:
        """As it is kept now."""
        return self._registration

    async def open_session(self, endpoint: Endpoint, proxies: Proxies) -> Transport:
        """One connection to the console. Raises Unreachable with the hop that failed."""
        url = f"{endpoint.websocket_url}/gateway/v1/session"
        try:
            return await open_websocket(url, self._trust.context(), proxies=proxies)
        except Unreachable as error:
            self._explain(error)
            raise

    async def open_polling(self, endpoint: Endpoint, proxies: Proxies) -> Transport:
        """The same by HTTPS long polling."""
        try:
            return await open_polling(endpoint.url, self._trust, proxies=proxies)
        except Unreachable as error:
            self._explain(error)
            raise

    @property
    def _trust(self) -> Trust:
        return Trust.only_ca(self._registration.ca)

    def want(self, desired: DesiredState) -> bool:
        """Whether it changed. Of any generation: what the connected console trusts in is true now."""
        told = desired.console_ca
        if told is None:
            return False
        try:
            pins = spki_pins(told)
            Trust.only_ca(told).context()
            if told != self._registration.ca:
                self._keep(told, pins)
                self._tell(" ".join(pins), "ConsoleCaChanged", f"The console is trusted by: {', '.join(pins)}.")
                return True
        except InvalidInput as error:
            message = f"The CA that the console told cannot be read; the known one is kept. {' '.join(error.evidence)}"
            self._tell("unreadable", "ConsoleCaUnreadable", message, Severity.WARNING)
        except SetupMissing as error:
            # Not confirmed then, so the console waits; it tells again in the next session.
            self._say(f"the console's new CA could not be kept: {error.what} {' '.join(error.evidence)}")
        return False

    def confirmed(self, status: GatewayStatus) -> GatewayStatus:
        """The status with what is kept, so that the console knows whom a change would leave behind."""
        return status.model_copy(update={"trusts": spki_pins(self._registration.ca)[:16]})

    def _explain(self, error: Unreachable) -> None:
        """Say it in `error` when no CA that is known here can be good any more."""
        if error.fields.get("hop") != "tls":
            return
        ended, now = max(ends_of(self._registration.ca)), self._clock.now()
        if now < ended:
            return
        error.reason = "console-ca-ended"
        error.what = (
            f"This gateway was away while the console changed its CA: the last one that it knows ended on "
            f"{ended:%Y-%m-%d}. Pair it anew, with a new pairing code and the pin beside it."
        )
        error.remedy = [
            "Make a new pairing code on the gateway's page, and start the installer with it and the CA pin shown "
            "there; the gateway and its machines stay.",
            "If that day has not come yet, set this machine's clock.",
        ]

    def _keep(self, ca: str, pins: list[str]) -> None:
        known = self._registration
        every = dict.fromkeys([*known.pins, *spki_pins(known.ca), *pins])
        # The newest are kept; a console changes its CA every 19 years.
        kept = known.model_copy(update={"ca": ca, "pins": tuple(every)[-64:]})
        self._state.register(kept)
        self._registration = kept

    def _tell(self, key: str, reason: str, message: str, severity: Severity = Severity.INFO) -> None:
        """Once a change, however often it is told."""
        if self._store.get(_TOLD) == key:
            return
        with self._store.transaction():
            self._store.put(_TOLD, key)
            self._store.append(Event(at=self._clock.now(), severity=severity, reason=reason, message=message[:4096]))
