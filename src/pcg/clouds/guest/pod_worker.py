"""One pod on one node: its volumes, its containers under Kubernetes' restart policy, its status and events.

Made by the kubelet for each pod bound to its node. Cancelled, it kills its containers (the plug was pulled); told to
end, it stops them as Kubernetes does.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from pathlib import Path

from pcg.clouds.guest.cluster import Cluster
from pcg.clouds.guest.containers import ContainerSpec, HttpProbe, RunningContainer, UnknownImage
from pcg.clouds.guest.environment import Environment
from pcg.clouds.guest.kubernetes_api.events import record_event
from pcg.clouds.guest.kubernetes_api.resources import Object
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.kubernetes_api.store import stamp
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.pod_environment import NotThereYet, environment_of, mount_volumes, secret_versions
from pcg.clouds.guest.waiting import first
from pcg.processes.restart_policy import RestartPolicy

MOUNT_RETRY_SECONDS = 2.0


class PodWorker:
    def __init__(
        self,
        pod: Object,
        *,
        machine_id: str,
        address: str,
        cluster: Cluster,
        folder: Path,
        logs: GuestLogs,
        environment: Environment,
    ) -> None:
        self._pod = pod
        self._machine_id = machine_id
        self._address = address
        self._cluster = cluster
        self._store = cluster.store
        self._folder = folder
        self._logs = logs
        self._environment = environment
        self._gently = False
        before = {entry["name"]: entry for entry in pod.get("status", {}).get("containerStatuses", ())}
        self._statuses: dict[str, Object] = {
            container["name"]: _first_status(container, before.get(container["name"]))
            for container in pod["spec"]["containers"]
        }

    async def run(self) -> None:
        self.publish()
        async with asyncio.TaskGroup() as group:
            for container in self._pod["spec"]["containers"]:
                group.create_task(self._keep(container))

    def end(self, task: asyncio.Task[None]) -> None:
        """Stop the containers as for a deleted pod: SIGTERM first."""
        if not self._gently:
            self._gently = True
            task.cancel()

    def publish(self) -> None:
        """Write the pod's status, if the API can be written now; the kubelet calls again at each change."""
        if not self._cluster.available:
            return
        metadata = self._pod["metadata"]
        present = self._store.find("pods", metadata["name"], metadata["namespace"])
        if present is not None and present["metadata"]["uid"] == metadata["uid"]:
            change = {"status": self._status(present.get("status") or {})}
            self._store.patch("pods", metadata["name"], change, metadata["namespace"])

    async def _keep(self, container: Object) -> None:
        """One container, started again as often as the pod's restartPolicy says."""
        name, status = container["name"], self._statuses[container["name"]]
        policy = RestartPolicy(self._environment.speed)
        pulls = RestartPolicy(self._environment.speed)
        again = self._pod["spec"].get("restartPolicy", "Always")
        clock = self._environment.clock
        while True:
            spec = await self._specification(container)
            began = clock.monotonic()
            container_id = secrets.token_hex(32)
            try:
                running = await self._start(spec, container_id)
            except UnknownImage as error:
                await self._image_missing(name, str(error), pulls)
                continue
            except OSError as error:
                await self._not_created(name, str(error), pulls)
                continue
            code = await self._while_running(running, name, container_id, began)
            status["lastState"] = {"terminated": self._ended(code, container_id, status)}
            status["ready"] = status["started"] = False
            if again == "Never" or (again == "OnFailure" and code == 0):
                status["state"] = status["lastState"]
                self.publish()
                return
            wait = policy.delay(clock.monotonic() - began)
            if wait:
                await self._back_off(name, wait)
            status["restartCount"] += 1

    async def _specification(self, container: Object) -> ContainerSpec:
        """Volumes and environment as they are now; waits for what the pod cannot do without."""
        while True:
            try:
                volumes = mount_volumes(self._pod, self._store, self._folder)
                values = environment_of(self._pod, container, self._store, self._address, volumes)
            except NotThereYet as problem:
                message = f"MountVolume.SetUp failed : {problem}"
                self._tell("FailedMount", message, kind="Warning")
                self._waits(container["name"], "ContainerCreating", "")
            except StatusError:
                pass  # no quorum: a Secret cannot be read now
            else:
                return ContainerSpec(container["name"], container["image"], values, self._probe(container))
            await self._cluster.wait_for(lambda: self._cluster.available)
            # Not woken by changes: the event that was just told is one, and two such pods would wake each other.
            await self._environment.take(MOUNT_RETRY_SECONDS)

    async def _start(self, spec: ContainerSpec, container_id: str) -> RunningContainer:
        await self._environment.take(self._environment.durations.image_pull)
        metadata = self._pod["metadata"]
        log = self._logs.container_path(metadata["name"], metadata["namespace"], spec.name, container_id)
        running = await self._environment.containers.start(
            spec, lambda stream, line: self._logs.container(log, stream, line)
        )
        self._tell("Pulled", f'Container image "{spec.image}" already present on machine')
        self._tell("Created", f"Created container {spec.name}")
        self._tell("Started", f"Started container {spec.name}")
        return running

    async def _while_running(self, running: RunningContainer, name: str, container_id: str, began: float) -> int:
        status = self._statuses[name]
        status["state"] = {"running": {"startedAt": stamp(self._environment.clock.now())}}
        status |= {"started": True, "containerID": f"containerd://{container_id}"}
        try:
            self.publish()
            await first(running.wait(), self._follow_readiness(running, name, began), self._follow_secrets())
            return await running.wait()
        except BaseException:
            if self._gently:
                self._tell("Killing", f"Stopping container {name}")
                await running.stop()
            else:
                await running.kill()
            raise

    async def _follow_readiness(self, running: RunningContainer, name: str, began: float) -> None:
        first_time = True
        async with aclosing(running.readiness()) as changes:  # type: ignore[type-var]
            async for ready in changes:
                self._statuses[name]["ready"] = ready
                self.publish()
                if not ready:
                    self._tell("Unhealthy", "Readiness probe failed: not ready", kind="Warning")
                elif first_time:
                    first_time = False
                    await self._environment.record(self._machine_id, f"container {name}", began)
        await asyncio.Event().wait()  # no more changes: it runs on

    async def _follow_secrets(self) -> None:
        """As a kubelet does: what changes in a Secret appears in the volume of a container that runs."""
        known: list[str] = []
        while True:
            try:
                known = secret_versions(self._pod, self._store)
                mount_volumes(self._pod, self._store, self._folder)
            except (NotThereYet, StatusError):
                pass  # taken away, or no quorum: what is mounted stays
            await self._cluster.wait_for(
                lambda known=known: self._cluster.available and secret_versions(self._pod, self._store) != known  # type: ignore[misc]
            )

    async def _back_off(self, name: str, wait: float) -> None:
        metadata = self._pod["metadata"]
        about = f"container={name} pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        shown = _go_duration(wait * self._environment.speed)
        self._waits(name, "CrashLoopBackOff", f"back-off {shown} restarting failed {about}")
        self._logs.kubelet(
            f'"Error syncing pod, skipping" err="failed to \\"StartContainer\\" for \\"{name}\\" with '
            "CrashLoopBackOff: "
            f'\\"back-off {shown} restarting failed {about}\\"" pod="{metadata["namespace"]}/{metadata["name"]}"',
            level="E",
            source="pod_workers.go:1298",
        )
        self._tell("BackOff", f"Back-off restarting failed container {name} in pod {metadata['name']}", kind="Warning")
        await self._environment.clock.sleep(wait)

    async def _image_missing(self, name: str, image: str, pulls: RestartPolicy) -> None:
        problem = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
        self._waits(name, "ErrImagePull", problem)
        self._tell("Failed", f'Failed to pull image "{image}": {problem}', kind="Warning")
        wait = pulls.delay(0.0)
        if wait:
            self._waits(name, "ImagePullBackOff", f'Back-off pulling image "{image}"')
            self._tell("BackOff", f'Back-off pulling image "{image}"')
            await self._environment.clock.sleep(wait)

    async def _not_created(self, name: str, why: str, tries: RestartPolicy) -> None:
        """The runtime itself could not make it, as on a machine without memory or without the program."""
        self._waits(name, "CreateContainerError", why)
        self._tell("Failed", f"Error: {why}", kind="Warning")
        await self._environment.clock.sleep(max(tries.delay(0.0), MOUNT_RETRY_SECONDS / self._environment.speed))

    def _waits(self, name: str, reason: str, message: str) -> None:
        self._statuses[name]["state"] = {"waiting": {"reason": reason, "message": message}}
        self._statuses[name]["ready"] = False
        self.publish()

    def _ended(self, code: int, container_id: str, status: Object) -> Object:
        return {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": status["state"]["running"]["startedAt"],
            "finishedAt": stamp(self._environment.clock.now()),
            "containerID": f"containerd://{container_id}",
        }

    def _status(self, present: Object) -> Object:
        statuses = list(self._statuses.values())
        ready = all(status["ready"] for status in statuses)
        ended = all("terminated" in status["state"] for status in statuses)
        failed = any(status["state"].get("terminated", {}).get("exitCode") for status in statuses)
        started = any("running" in status["state"] or status["restartCount"] for status in statuses)
        phase = ("Failed" if failed else "Succeeded") if ended else "Running" if started else "Pending"
        values = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
        before = {entry["type"]: entry for entry in present.get("conditions", ())}
        now = stamp(self._environment.clock.now())
        conditions = [
            before[kind]
            if before.get(kind, {}).get("status") == str(value)
            else {"type": kind, "status": str(value), "lastTransitionTime": now}
            for kind, value in values.items()
        ]
        addresses = {"hostIP": self._address, "podIP": self._address, "startTime": present.get("startTime", now)}
        return {"phase": phase, "conditions": conditions, "containerStatuses": statuses, **addresses}

    def _probe(self, container: Object) -> HttpProbe | None:
        probe = container.get("readinessProbe") or {}
        target = probe.get("httpGet")
        if target is None:
            return None
        scheme, host = target.get("scheme", "HTTP").lower(), target.get("host") or self._address
        period = float(probe.get("periodSeconds", 10))
        # Quick until it is ready, since the simulation is; then at the manifest's own period, which costs nothing.
        url = f"{scheme}://{host}:{target['port']}{target.get('path', '/')}"
        return HttpProbe(url, max(0.05, period / self._environment.speed), max(1.0, period))

    def _tell(self, reason: str, message: str, kind: str = "Normal") -> None:
        record_event(self._store, self._pod, reason, message, "kubelet", self._environment.clock.now(), kind=kind)


def _first_status(container: Object, before: Object | None) -> Object:
    """After a reboot the container is a new one: it was restarted once more."""
    return {
        "name": container["name"],
        "image": container["image"],
        "ready": False,
        "started": False,
        "restartCount": before["restartCount"] + 1 if before else 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": before.get("lastState", {}) if before else {},
    }


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
