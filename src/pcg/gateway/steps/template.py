"""Step 4: the node image lies in the template folder; if not, its import is started and waited for."""

from __future__ import annotations

from pcg.clouds.base import TaskState
from pcg.errors import PcgError, TryAgain
from pcg.gateway.steps.outcome import Done, Failed, Outcome, Situation, Wait


async def template(situation: Situation) -> Outcome:
    # The seed's own name for this moment: the gateway's manager runs, and the image is about to be fetched.
    situation.tell_once("container manager", "ContainerManagerCreated", "Created container manager")
    wanted = situation.configuration.template
    progress = await situation.cloud.ensure_template(situation.configuration)
    if progress.template is not None:
        situation.cluster.template = progress.template
        situation.tell_once(
            f"template {wanted.folder}/{wanted.name}",
            "TemplateReady",
            f"The node image {wanted.name} lies in the template folder {wanted.folder}.",
        )
        return Done()
    task = progress.task
    if task is not None and task.state is TaskState.FAILED:
        error = task.error
        return Failed(error if isinstance(error, PcgError) else TryAgain(f"The import failed: {error}"))
    situation.tell_once(
        f"import {wanted.folder}/{wanted.name}",
        "TemplateImporting",
        f"The node image is fetched from {wanted.image} into {wanted.folder}.",
    )
    percent = f" ({task.progress} %)" if task is not None and task.progress else ""
    return Wait(f"importing the node image {wanted.name}{percent}")
