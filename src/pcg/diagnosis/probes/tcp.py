"""The probe `tcp`: does a port accept, refuse, stay silent, or is there no way to it? Nothing is sent."""

from __future__ import annotations

import asyncio

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded

SECONDS = 4.0


async def probe_tcp(about: About, address: str, port: int, *, name: str = "", seconds: float = SECONDS) -> ProbeAnswer:
    """`address` is numeric; `name` is what it was found by."""
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        _, writer = await asyncio.open_connection(address, port)
        writer.transport.abort()  # nothing was sent, so there is nothing to end politely
        return question.passed("accepts connections")

    question = ProbeAnswer(about, "tcp", f"{name} ({shown})" if name and name != address else shown)
    return await bounded(question, look, seconds, silence="connection-timed-out")
