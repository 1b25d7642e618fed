"""The steps before any machine: configuration, connect, preflight and template."""

from __future__ import annotations

import pytest

from pcg.clouds.base import Check, CloudTask, TaskState, TemplateProgress
from pcg.errors import AskPerson, InvalidInput, PermissionMissing, ResourcesMissing, TryAgain, Unreachable
from pcg.gateway.steps.connect import connect
from pcg.gateway.steps.outcome import Done, Failed, Wait
from pcg.gateway.steps.preflight import preflight
from pcg.gateway.steps.template import template
from pcg.gateway.steps.validate_configuration import opened_credentials, validate_configuration
from pcg.model.configuration import Configuration, parse_configuration
from pcg.model.desired import DesiredState, SealedCredentials
from pcg.sealing.boxes import seal_credentials
from pcg.sealing.keys import GatewayKeys
from unit.gateway.reconciler.making import DOCUMENT, GATEWAY, KEYS, Made, situation, static

pytestmark = pytest.mark.looptime


def with_password(made: Made, *, gateway: str = GATEWAY, keys: GatewayKeys = KEYS, address: str = "") -> Made:
    """A password was sealed, by default for exactly this gateway and configuration."""
    vcenter = {**DOCUMENT["vcenter"], **({"address": address} if address else {})}
    configuration, _ = parse_configuration({**DOCUMENT, "vcenter": vcenter})
    sealed = seal_credentials(keys.public_sealing, gateway, configuration.vcenter, "secret")
    credentials = SealedCredentials(version="1", ciphertext=sealed)
    made.situation.desired = made.situation.desired.model_copy(update={"credentials": credentials})
    return made


async def test_a_password_sealed_for_this_configuration_is_accepted() -> None:
    made = with_password(situation())
    assert await validate_configuration(made.situation) == Done()
    assert opened_credentials(made.situation).password == "secret"


@pytest.mark.parametrize(
    "sealed",
    [
        pytest.param({"address": "127.64.0.3"}, id="another address"),
        pytest.param({"gateway": "another-gateway"}, id="another gateway"),
        pytest.param({"keys": GatewayKeys.generate()}, id="other keys"),
    ],
)
async def test_a_password_sealed_for_anything_else_is_asked_for_again(sealed: dict[str, str]) -> None:
    made = with_password(situation(), **sealed)  # type: ignore[arg-type]
    with pytest.raises(AskPerson) as caught:
        await validate_configuration(made.situation)
    assert caught.value.reason == "credentials-needed"


async def test_a_missing_password_is_asked_for() -> None:
    with pytest.raises(AskPerson, match="has not been given yet"):
        await validate_configuration(situation().situation)


@pytest.mark.parametrize(
    ("proxy", "field"),
    [
        ({"https": "socks5://proxy:1080"}, "proxy.https"),
        ({"https": "http://proxy:3128", "no": ["10.0.0.0/99"]}, "proxy.no"),
        ({"ca": "no certificate"}, "proxy.ca"),
    ],
)
async def test_a_proxy_that_jet_could_not_use_is_refused_with_its_field(proxy: dict[str, object], field: str) -> None:
    made = with_password(situation())
    wrong, _ = parse_configuration({**DOCUMENT, "proxy": proxy})
    made.situation.configuration = wrong
    with pytest.raises(InvalidInput) as caught:
        await validate_configuration(made.situation)
    assert caught.value.field_name == field


async def test_a_pool_that_does_not_fit_is_refused_with_its_field() -> None:
    made = with_password(situation())
    network = static("127.64.0.20", "127.64.0.29")
    network["network"]["controlPlaneAddress"] = "127.65.0.9"
    made.situation.configuration = Configuration.model_validate(network)
    with pytest.raises(InvalidInput) as caught:
        await validate_configuration(made.situation)
    assert caught.value.field_name == "network.controlPlaneAddress"


async def test_the_login_is_told_once_a_generation() -> None:
    made = situation()
    await connect(made.situation)
    await connect(made.situation)
    assert made.reasons == ["CloudConnected"]
    made.situation.desired = DesiredState(generation=2, incarnation=1, mode="run")
    await connect(made.situation)
    assert made.reasons == ["CloudConnected"] * 2


async def test_preflight_fails_with_the_first_problem_and_tells_the_others_beside_it() -> None:
    made = situation()
    missing = PermissionMissing("lacks it", reason="permission-missing")
    made.cloud.checks = [
        Check("template", True, "there"),
        Check("privileges", False, "lacks it", missing),
        Check("addresses", False, "no leases", ResourcesMissing("no leases")),
    ]
    outcome = await preflight(made.situation)
    assert outcome == Failed(missing)
    assert missing.evidence == ["check addresses: no leases"]


async def test_a_check_that_cannot_tell_warns_and_does_not_stand_in_the_way() -> None:
    made = situation()
    made.cloud.checks = [Check("addresses", None, "the vendor does not tell"), Check("template", True, "there")]
    assert await preflight(made.situation) == Done()
    assert await preflight(made.situation) == Done()
    assert made.reasons == ["PreflightCannotTell", "PreflightPassed"]


async def test_container_manager_is_told_just_before_the_image_is_fetched() -> None:
    made = situation()
    task = CloudTask("import-1", TaskState.RUNNING, "import", progress=30)
    made.cloud.progress = TemplateProgress(None, task, fetched=True)
    assert await template(made.situation) == Wait("importing the node image node (30 %)")
    assert made.reasons == ["ContainerManagerCreated", "TemplateImporting"]


async def test_an_import_shows_bytes_attempt_and_how_far_the_last_one_came() -> None:
    made = situation()
    task = CloudTask("import-2", TaskState.RUNNING, "import", progress=26)
    made.cloud.progress = TemplateProgress(
        None, task, doing="412 of 1,536 MiB", attempt=2, interrupted_at="300 MiB", look_again=3.0
    )
    told = "412 of 1,536 MiB, 26 %, attempt 2: the last one was interrupted after 300 MiB"
    assert await template(made.situation) == Wait(f"importing the node image node ({told})", 3.0)


async def test_an_import_is_waited_for_and_its_end_is_told_once() -> None:
    made = situation()
    made.cloud.progress = TemplateProgress(None, CloudTask("import-1", TaskState.RUNNING, "import"))
    await template(made.situation)
    made.cloud.progress = TemplateProgress("template-9")
    assert await template(made.situation) == Done()
    assert await template(made.situation) == Done()
    assert made.reasons == ["ContainerManagerCreated", "TemplateImporting", "TemplateReady"]
    assert made.situation.cluster.template == "template-9"


async def test_a_failed_import_fails_with_the_clouds_own_error() -> None:
    made = situation()
    error = Unreachable("cannot be fetched", reason="image-not-fetched")
    made.cloud.progress = TemplateProgress(None, CloudTask("i", TaskState.FAILED, "import", error=error))
    assert await template(made.situation) == Failed(error)


async def test_a_failed_import_without_a_known_error_is_tried_again() -> None:
    made = situation()
    failed = CloudTask("i", TaskState.FAILED, "import", error=ValueError("odd"))
    made.cloud.progress = TemplateProgress(None, failed)
    outcome = await template(made.situation)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TryAgain)
