"""How a session with a gateway ends: the last word for each reason, and whether a proof is good. Pure; for `session.py`
and the hub."""

from __future__ import annotations

from datetime import UTC

from pcg.console.reports import Peer
from pcg.console.restored import RestoreMark
from pcg.errors import ProtocolError
from pcg.sealing import signatures
from pcg.wire import frames


class Ended(Exception):
    """The session is over; `frame` is the last word, if there is one."""

    def __init__(self, frame: frames.Superseded | frames.Farewell | frames.Refusal | None = None) -> None:
        super().__init__(frame.type if frame else "ended")
        self.frame = frame


def proven_peer(
    peer: Peer | None, proof: frames.Proof, parts: tuple[str, ...], mark: RestoreMark | None = None
) -> Peer:
    """Raises Ended unless the proof was made with the gateway's present key. No refusal is final: a console that was
    restored from a backup may know again tomorrow what it does not know today. `mark` is that of a restored one."""
    if peer is None:
        raise Ended(unknown_gateway(mark))

    def made_with(key: str) -> bool:
        return signatures.verify(key, proof.signature, signatures.SESSION_GATEWAY, *parts)

    if peer.signing_key and made_with(peer.signing_key):
        return peer
    if any(made_with(key) for key in peer.revoked_keys):
        raise Ended(frames.Farewell(reason="revoked"))
    told = "The proof was not made with the key that this gateway registered."
    if mark is not None:
        told += f" {_restored(mark)} If it was paired after that, pair it again: its machines stay."
    raise Ended(frames.Refusal(reason="bad-proof", message=told))


def unknown_gateway(mark: RestoreMark | None = None) -> frames.Refusal:
    told = "This console does not know this gateway."
    if mark is None:
        told += " Was the console restored from a backup, or replaced?"
    else:
        told += (
            f" {_restored(mark)} A gateway that was made after that is not in it. Nothing changes here: machines stay, "
            "and the session is tried again. To manage it from this console, a person pairs it there as a new gateway."
        )
    return frames.Refusal(reason="unknown-gateway", message=told)


def _restored(mark: RestoreMark) -> str:
    return f"The console was restored from a backup of {mark.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."


def out_of_order(frame: frames.Frame) -> ProtocolError:
    return ProtocolError(f"A frame {frame.type} does not belong here.", reason="protocol")


def refusal_of(error: ProtocolError) -> frames.Refusal:
    message = " ".join([error.what, *error.evidence])[:1024]
    return frames.Refusal(reason="too-large" if error.reason == "too-large" else "protocol", message=message)
