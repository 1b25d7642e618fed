"""Step 4: the node image lies in the template folder; if not, its import is started and waited for."""

from __future__ import annotations

from pcg.clouds.base import TaskState, TemplateProgress
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
        f"The node image is fetched from {wanted.shown_image} into {wanted.folder}.",
    )
    return Wait(f"importing the node image {wanted.name}{_how_far(progress)}", progress.look_again)


def _how_far(progress: TemplateProgress) -> str:
    """` (412 of 1,536 MiB, 26 %, attempt 2: the last one was interrupted after 300 MiB)`, or what is known of it."""
    percent = progress.task.progress if progress.task is not None else None
    parts = [progress.doing, f"{percent} %" if percent else ""]
    if progress.attempt > 1:
        last = f": the last one was interrupted after {progress.interrupted_at}" if progress.interrupted_at else ""
        parts.append(f"attempt {progress.attempt}{last}")
    known = ", ".join(part for part in parts if part)
    return f" ({known})" if known else ""
