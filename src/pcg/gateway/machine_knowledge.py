"""What this machine itself tells of its installer, for a diagnosis that is made on it: whom it must reach, and how.

What a person gives counts first; then what the installer was started with (`installation.json`); then what it would be
started with (the service's settings). Reads files only, changes nothing, and tells what it could not read. Called by
`this_machine`, in a thread: a disk may hang.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pcg.diagnosis.facts import InstallerFact, JetFact, WayFact
from pcg.errors import PcgError
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.installation import Installation
from pcg.gateway.memory import ClusterMemory, SavedSteps
from pcg.gateway.ovf_environment import read_ovf_environment
from pcg.gateway.service_settings import SERVICE_SETTINGS, read_service_settings
from pcg.gateway.signs_of_life import read_alive
from pcg.gateway.store_reading import read_memory
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus
from pcg.model.states import StepName
from pcg.nodes.pki import cluster_secrets

_Model = TypeVar("_Model", bound=BaseModel)
_T = TypeVar("_T")
_ANOTHER_USER = "this user may not read it; ask again as root, or as the installer's user"


@dataclass(frozen=True)
class Given:
    """What a person gives, as `pcg install` takes it; None: not given."""

    state: Path
    endpoint: str | None = None
    ca_pin: str | None = None
    ca: str | None = None
    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    proxy_ca: str | None = None
    name_servers: str | None = None
    ovf_env: Path | None = None
    service_settings: Path = SERVICE_SETTINGS
    hosts: tuple[str, ...] = ()
    """ESXi hosts whose port 443 is asked about; which there are, only vCenter knows"""
    dhcp: bool = True
    """whether DHCP servers may be asked, by a broadcast"""


@dataclass
class Knowledge:
    """`start` is how the installer is, was or would be started; None: nothing tells."""

    start: Installation | None = None
    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    """both with user and password, where they are known here"""
    registration: Registration | None = None
    installer: InstallerFact = field(default_factory=lambda: InstallerFact(registered=False, began=False))
    jets: list[JetFact] = field(default_factory=list)
    desired: DesiredState | None = None
    cluster: ClusterMemory = field(default_factory=ClusterMemory)
    status: GatewayStatus = field(default_factory=lambda: GatewayStatus(generation=0, incarnation=0))
    cluster_ca: str | None = None
    first_address: str | None = None
    """of a machine that the gateway saw last"""
    way: WayFact | None = None
    """why the installer ended, where it could still say so"""
    unread: list[tuple[str, str]] = field(default_factory=list)
    """file, and why it could not be read"""

    def done(self, step: StepName) -> bool:
        return any(one.name == step and one.state == "done" for one in self.status.steps)


def what_is_known(given: Given, now: datetime) -> Knowledge:
    known = Knowledge()
    state = StateDirectory(given.state)
    installation = None
    if given.state.is_dir() and not os.access(given.state, os.R_OK | os.X_OK):
        known.unread.append((str(given.state), _ANOTHER_USER))
    elif given.state.is_dir():
        installation = _try(known, given.state, state.installation)
        known.registration = _try(known, given.state, state.registration)
        _read_memory(known, state, now)
        _read_cluster_ca(known, state)
        _read_last_words(known, state)
    settings = _try(known, given.service_settings, lambda: read_service_settings(given.service_settings)) or {}
    _choose(known, given, installation, settings)
    registered = known.registration is not None
    deleted = not registered and _try(known, given.state, state.deleted_gateway) is not None
    expected, properties = ("", "") if deleted else _expected(given, settings, began=installation is not None)
    known.installer = InstallerFact(registered, registered or installation is not None, expected, properties)
    return known


def what_is_given(given: Given) -> Knowledge:
    """Nothing is read: for a machine whose disk does not answer."""
    known = Knowledge()
    _choose(known, given, None, {})
    return known


def _choose(known: Knowledge, given: Given, kept: Installation | None, settings: Mapping[str, str]) -> None:
    """Value by value; pin and CA are one, and of a registered gateway are what the console has told since."""
    endpoint = given.endpoint or (kept.endpoint if kept else "") or settings.get("PCG_ENDPOINT", "")
    if not endpoint:
        return
    pin, ca = given.ca_pin, given.ca
    if not (pin or ca) and known.registration is not None:
        ca = known.registration.ca
    elif not (pin or ca):
        pin, ca = (kept.ca_pin, kept.ca) if kept else (settings.get("PCG_CA_PIN"), settings.get("PCG_CA"))
    known.http_proxy = given.http_proxy or (kept.http_proxy if kept else settings.get("PCG_HTTP_PROXY"))
    known.https_proxy = given.https_proxy or (kept.https_proxy if kept else settings.get("PCG_HTTPS_PROXY"))
    if kept and kept.proxy_has_password:
        # The service's own files may be readable here: they hold what the state folder must not.
        known.http_proxy = given.http_proxy or settings.get("PCG_HTTP_PROXY") or kept.http_proxy
        known.https_proxy = given.https_proxy or settings.get("PCG_HTTPS_PROXY") or kept.https_proxy
    known.start = Installation(
        endpoint=endpoint,
        ca_pin=pin or None,
        ca=ca or None,
        proxy_has_password=bool(kept and kept.proxy_has_password),
        no_proxy=given.no_proxy or (kept.no_proxy if kept else settings.get("PCG_NO_PROXY", "")),
        proxy_ca=given.proxy_ca or (kept.proxy_ca if kept else settings.get("PCG_PROXY_CA")),
        name_servers=given.name_servers or (kept.name_servers if kept else settings.get("PCG_NAME_SERVERS")),
    )


def _expected(given: Given, settings: Mapping[str, str], *, began: bool) -> tuple[str, str]:
    """The sign that this machine shall be an installer, and why it lacks its properties."""
    if began:
        return f"an installer was started with {given.state}", ""
    if given.ovf_env is not None:
        try:
            properties = read_ovf_environment(given.ovf_env)
        except PcgError as error:
            return f"an OVF environment is named: {given.ovf_env}", error.what
        missing = "" if properties else f"The OVF environment {given.ovf_env} has no properties of this appliance."
        return f"an OVF environment is named: {given.ovf_env}", missing
    if settings.get("PCG_ENDPOINT"):
        return f"the service is set up: {given.service_settings}", ""
    return "", ""


def _read_memory(known: Knowledge, state: StateDirectory, now: datetime) -> None:
    memory = _try(known, state.database, lambda: read_memory(state.database)) or {}

    def part(key: str, kind: type[_Model]) -> _Model | None:
        text = memory.get(key)
        return None if text is None else _try(known, state.database, lambda: kind.model_validate_json(text))

    known.desired = part("desired", DesiredState)
    known.cluster = part("cluster", ClusterMemory) or ClusterMemory()
    saved = part("steps", SavedSteps)
    wanted = known.desired
    if wanted is not None:
        current = saved is not None and saved.generation == wanted.generation and wanted.mode == "run"
        known.status = GatewayStatus(
            generation=wanted.generation,
            incarnation=wanted.incarnation,
            steps=saved.steps if saved is not None and current else [],
        )
    if memory.get("installer-jet") == "back-off":
        told = "as the gateway told last"
        known.jets = [JetFact(place="installer", restarts=0, back_off=True, since=now, words=[told])]


def _read_cluster_ca(known: Knowledge, state: StateDirectory) -> None:
    if known.registration is None or not known.cluster.formed:
        return
    keys = _try(known, state.path, state.known_keys)
    if keys is not None:
        made = cluster_secrets(keys.cluster_seed, known.registration.gateway_id, known.cluster.incarnation)
        known.cluster_ca = made.ca_certificate


def _read_last_words(known: Knowledge, state: StateDirectory) -> None:
    """Only what no probe could tell: the console's final no, and the addresses that DHCP gave."""
    found = _try(known, state.path, lambda: read_alive(state.path))
    if found is None:
        return
    alive, _ = found
    if alive.ended is not None:
        known.way = WayFact(registered=known.registration is not None, trouble=alive.ended)
    if alive.status is not None and alive.status.incarnation == known.status.incarnation:
        known.first_address = next((machine.address for machine in alive.status.machines if machine.address), None)


def _try(known: Knowledge, path: Path, read: Callable[[], _T]) -> _T | None:
    """What `read` gives; None where the file is not there, or could not be read, which is told."""
    try:
        return read()
    except FileNotFoundError:
        return None
    except PcgError as error:
        why = _ANOTHER_USER if isinstance(error.__cause__, PermissionError) else error.what
    except PermissionError:
        why = _ANOTHER_USER
    except ValidationError as error:
        why = f"{error.error_count()} values in it are not as this version writes them"
    except (OSError, sqlite3.Error, ValueError) as error:
        why = str(error)
    known.unread.append((str(path), why[:512]))
    return None
