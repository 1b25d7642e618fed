"""Bootstrap: network → time → pinned CA and console's identity → registration, until the console's yes or final no.

The pairing code never crosses the wire: a key is derived from it that signs the gateway's keys, the console's identity
and a nonce. Doing it again after a lost answer gives the same registration. Called by the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

import pcg
from pcg.clock import Clock
from pcg.errors import Busy, InvalidInput, PcgError, Refused, TryAgain, Unreachable
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import BootstrapStep, BootstrapSteps
from pcg.gateway.identity import Registration
from pcg.gateway.installer import Plan
from pcg.network.endpoint import Endpoint
from pcg.network.failures import unreachable
from pcg.network.http import ServedCa, call, fetch_ca, http_client, not_a_console
from pcg.network.pins import pinned_certificate, spki_pin, spki_pins
from pcg.network.reach import reach
from pcg.network.trust import Trust
from pcg.sealing import encoding, pairing_code, signatures
from pcg.sealing.keys import GatewayKeys
from pcg.wire import versions
from pcg.wire.registration import ConsoleIdentity, RegistrationAnswer, RegistrationRequest

if TYPE_CHECKING:
    import httpx

CLOCK_TOLERANCE_SECONDS = 300.0
"""beyond it a person is told; certificates of ours bear a day (they are dated a day back)"""

MOST_SECONDS = 15.0
"""between two tries: a person who has just mended something waits for the next one"""

_FINEST_SECONDS = 2.0
"""the time in an answer is of whole seconds"""

_Answer = TypeVar("_Answer", bound=BaseModel)


async def register(
    plan: Plan, keys: GatewayKeys, clock: Clock, steps: BootstrapSteps, tries: Backoff | None = None
) -> Registration:
    """Return once registered. Raises Refused for the console's final no, or when `give_up_after` has passed."""
    if plan.code is None:
        raise InvalidInput(
            "This gateway is not registered yet, and no pairing code was given.",
            reason="pairing-code-missing",
            field_name="pairing-code",
            remedy=["Make one in the console (Add gateway), and give it with --pairing-code-file or --pairing-code."],
        )
    tries = tries or Backoff(first=1.0, most=MOST_SECONDS)
    began, attempt = clock.monotonic(), 0
    while True:
        attempt += 1
        try:
            return await _register_once(plan, plan.code, keys, clock, steps)
        except TryAgain as error:
            wait = tries.next(error.after)
            if plan.give_up_after is not None and clock.monotonic() - began + wait > plan.give_up_after:
                raise _given_up(plan.give_up_after, attempt, error) from error
            steps.failed(error, attempt, wait)
            await clock.sleep(wait)


def pairing_public_key(code: str) -> str:
    return encoding.encode(bytes(pairing_code.signing_key(code).verify_key))


def check_same_console(plan: Plan, registration: Registration) -> None:
    """Raises InvalidInput when the state directory belongs to a console with another CA than the one given now."""
    pin = plan.pin or spki_pin(plan.ca or "")
    if pin not in (*spki_pins(registration.ca), *registration.pins):
        raise InvalidInput(
            "This state directory belongs to a gateway of a console with another CA.",
            reason="other-console",
            field_name="ca-pin",
            evidence=[f"registered with: {spki_pin(registration.ca)}", f"given now:       {pin}"],
            remedy=["Give the pin of the console that it is registered with, or another --state directory."],
        )


async def _register_once(plan: Plan, code: str, keys: GatewayKeys, clock: Clock, steps: BootstrapSteps) -> Registration:
    steps.begin(BootstrapStep.NETWORK)
    steps.done(str(await reach(plan.endpoint.url, plan.proxies)))
    steps.begin(BootstrapStep.TIME)
    served, offset = await _ask_time(plan, clock, steps)
    steps.begin(BootstrapStep.CONSOLE_REACHED)
    ca = plan.ca or _pinned_ca(plan, served.pem)
    async with http_client(Trust.only_ca(ca), base_url=plan.endpoint.url, proxies=plan.proxies) as client:
        identity = await _verified_identity(client, offset)
        steps.done(f"the console's CA is verified ({spki_pin(ca)})")
        steps.begin(BootstrapStep.REGISTERED)
        request = _request(plan, code, keys, identity)
        answer = await _ask(client, "POST", "/gateway/v1/register", RegistrationAnswer, json=request.model_dump())
    if answer.console_id != identity.console_id:
        url = f"{plan.endpoint.url}/gateway/v1/register"
        raise unreachable(url, "http", ["identity and answer came from different consoles"], reason="two-consoles")
    steps.done(f"as {answer.gateway_name} ({answer.gateway_id})")
    return Registration(
        gateway_id=answer.gateway_id,
        gateway_name=answer.gateway_name,
        console_id=identity.console_id,
        identity_key=identity.identity_key,
        ca=ca,
        signing_key=keys.public_signing,
        pairing_key=request.pairing_key,
    )


async def _ask_time(plan: Plan, clock: Clock, steps: BootstrapSteps) -> tuple[ServedCa, float | None]:
    """The CA as it is served, trusted by nobody yet, and how many seconds this clock is ahead of the answerer's."""
    before, asked = clock.now(), clock.monotonic()
    served = await fetch_ca(plan.endpoint, proxies=plan.proxies)
    if served.date is None:
        steps.done("the console's answer bears no time to compare with")
        return served, None
    # Of whole seconds, made somewhere within the round trip: no finer than that.
    ahead = (before - served.date).total_seconds() + (clock.monotonic() - asked) / 2
    told = f"this machine's clock is {_long(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the console's"
    if abs(ahead) > CLOCK_TOLERANCE_SECONDS:
        steps.warn("ClockOffset", f"{told}: correct it (NTP), or certificates will seem expired or not valid yet")
    steps.done(told if abs(ahead) > _FINEST_SECONDS else "this machine's clock agrees with the console's")
    return served, ahead


async def _verified_identity(client: httpx.AsyncClient, ahead: float | None) -> ConsoleIdentity:
    try:
        return await _ask(client, "GET", "/gateway/v1/identity", ConsoleIdentity)
    except Unreachable as error:
        if ahead is not None and abs(ahead) > CLOCK_TOLERANCE_SECONDS and error.fields.get("hop") == "tls":
            error.evidence.append(f"clock: {_long(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the console's")
            error.remedy.insert(0, "Set this machine's clock (NTP): that alone may be the cause.")
        raise


def _pinned_ca(plan: Plan, pem: str) -> str:
    """Of what was fetched without trust; a difference is tried again, since nothing secret was sent."""
    try:
        found = pinned_certificate(pem, plan.pin or "")
        shown = spki_pin(pem)
    except InvalidInput as error:
        raise _pin_differs(plan.endpoint, [*error.evidence]) from error
    if found is None:
        raise _pin_differs(plan.endpoint, [f"expected: {plan.pin}", f"found:    {shown}"])
    return found


def _request(plan: Plan, code: str, keys: GatewayKeys, identity: ConsoleIdentity) -> RegistrationRequest:
    pairing = pairing_code.signing_key(code)
    parts = signatures.registration_parts(
        pairing_public_key(code),
        keys.public_signing,
        keys.public_sealing,
        identity.console_id,
        identity.identity_key,
        identity.nonce,
    )
    return RegistrationRequest(
        pairing_key=parts[0],
        signing_key=keys.public_signing,
        sealing_key=keys.public_sealing,
        nonce=identity.nonce,
        pairing_signature=signatures.sign(pairing, signatures.REGISTER, *parts),
        possession_signature=signatures.sign(keys.signing, signatures.REGISTER, *parts),
        installer_name=plan.installer_name,
        software=f"pcg {pcg.__version__}",
        versions=(versions.LOWEST, versions.CURRENT),
    )


async def _ask(
    client: httpx.AsyncClient, method: str, path: str, answer_type: type[_Answer], **arguments: Any
) -> _Answer:
    answer = await call(client, method, path, **arguments)
    url = f"{str(client.base_url).rstrip('/')}{path}"
    if answer.status_code == 200:
        try:
            return answer_type.model_validate_json(answer.content)
        except ValidationError:
            raise not_a_console(url, answer) from None
    raise _refusal(url, answer)


def _refusal(url: str, answer: httpx.Response) -> PcgError:
    """A problem of the console (RFC 9457): a final no only when it says which; all else may pass."""
    try:
        problem = answer.json()
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("reason"), str):
        return not_a_console(url, answer)
    reason = problem["reason"]
    what = str(problem.get("detail") or problem.get("title") or reason)
    evidence = [str(item) for item in problem.get("evidence") or []]
    if answer.status_code in (429, 503) or reason == "nonce-expired":
        after = answer.headers.get("retry-after", "")
        return Busy(what, reason, evidence, after=float(after) if after.isdecimal() else None)
    if answer.status_code >= 500 or answer.status_code not in (400, 403, 409, 410, 422):
        return unreachable(url, "http", [f"HTTP {answer.status_code}: {what}", *evidence], reason=reason)
    remedy = [str(item) for item in problem.get("remedy") or []]
    return Refused(
        what,
        reason,
        evidence,
        cause=str(problem.get("cause") or ""),
        remedy=remedy or ["Make a new pairing code in the console, and start the installer with it."],
        link=str(problem.get("link") or ""),
    )


def _long(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    if seconds < 36000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def _pin_differs(endpoint: Endpoint, evidence: list[str]) -> Unreachable:
    error = unreachable(endpoint.url, "tls", evidence, reason="ca-pin-mismatch")
    error.what = f"The CA that answered at {endpoint.url} is not the one that was pinned; nothing was sent to it."
    error.remedy = [
        "Compare the pin with the console's page; if it is right, something between here and the console opens TLS."
    ]
    return error


def _given_up(after: float, attempt: int, error: PcgError) -> Refused:
    return Refused(
        f"Given up after {after:g} s and {attempt} tries: {error.what}",
        reason="gave-up",
        evidence=list(error.evidence),
        cause=error.cause,
        remedy=list(error.remedy),
        link=error.link,
        fields=dict(error.fields),
    )
