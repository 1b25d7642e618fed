"""Step 1: the configuration is one that gateway and cluster can carry out, and its sealed password opens and fits."""

from __future__ import annotations

from pcg.clouds.foreseen import check_proxies
from pcg.errors import AskPerson, InvalidInput
from pcg.gateway.steps.outcome import Done, Outcome, Situation
from pcg.model.address_plan import check_plan
from pcg.model.cluster_changes import WAY_OUT, RefusedChange, refused_change
from pcg.model.configuration import Configuration
from pcg.sealing.boxes import Credentials, open_credentials


async def validate_configuration(situation: Situation) -> Outcome:
    opened_credentials(situation)
    check_proxies(situation.configuration.proxy)
    check_addresses(situation.configuration)
    check_change(situation)
    return Done()


def check_change(situation: Situation) -> None:
    """Raises AskPerson (reason `needs-reset`) for what the cluster that stands cannot become."""
    cluster = situation.cluster
    refused = refused_change(len(cluster.standing), cluster.fixed, situation.configuration)
    if refused is not None:
        raise needs_reset(refused)


def needs_reset(refused: RefusedChange) -> AskPerson:
    return AskPerson(
        f"The cluster cannot be changed so: {refused.field}.",
        reason="needs-reset",
        cause=refused.why,
        remedy=[WAY_OUT],
        fields={"field": refused.field},
    )


def check_addresses(configuration: Configuration) -> None:
    """What the console refuses too, unless it was stored by an older one. Raises InvalidInput."""
    problems = check_plan(configuration).problems
    if problems:
        raise InvalidInput(
            f"The addresses of the configuration do not fit together: {problems[0][0]}: {problems[0][1]}",
            reason="configuration-invalid",
            field_name=problems[0][0],
            evidence=[f"{where}: {message}" for where, message in problems],
            remedy=["Correct the fields named above; docs/configuration.md describes each."],
            fields={"field": problems[0][0]},
        )


def opened_credentials(situation: Situation) -> Credentials:
    """Raises AskPerson (reason `credentials-needed`): they are missing, unreadable, or sealed for something else."""
    sealed = situation.desired.credentials
    if sealed is None:
        raise _needed("The password of the cloud's account has not been given yet.")
    try:
        credentials = open_credentials(situation.keys.opening, sealed.ciphertext)
    except InvalidInput as error:
        raise _needed(error.what) from error
    if not credentials.fits(situation.gateway_id, situation.configuration.vcenter):
        raise _needed(
            "The password was sealed for another address, trust or account than the configuration has now, so it is "
            "not used."
        )
    return credentials


def _needed(what: str) -> AskPerson:
    return AskPerson(
        what,
        reason="credentials-needed",
        remedy=["Enter the password again, with the configuration as it is now."],
    )
