"""What a person needs to start an installer: the command, and the same as properties of the appliance (OVF)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pcg.console.pairing_codes import IssuedCode
from pcg.console.views import GatewayView, PairingView


@dataclass
class Installation:
    """`endpoint` is the console's first public URL; the pin changes with the console's CA."""

    endpoint: str
    ca_pin: str

    def pairing_view(self, gateway: GatewayView, issued: IssuedCode) -> PairingView:
        return PairingView(
            gateway=gateway,
            pairing_code=issued.code,
            expires_at=issued.expires_at,
            ca_pin=self.ca_pin,
            endpoint=self.endpoint,
            install_command=self._command(issued.code),
            ovf_properties={
                "pcg.endpoint": self.endpoint,
                "pcg.pairing-code": issued.code,
                "pcg.ca-pin": self.ca_pin,
            },
        )

    def _command(self, code: str) -> str:
        # By environment: other users of a machine can read the arguments of a process.
        return f"PCG_PAIRING_CODE={code} pcg install --endpoint {shlex.quote(self.endpoint)} --ca-pin {self.ca_pin}"
