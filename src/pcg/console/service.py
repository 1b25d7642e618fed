"""Every rule of the console, in parts by subject. The API, the pages and the hub call these and nothing beside them.

    accounts        users, web sessions, API keys, the first administrator
    gateways        make, list, pair, reset, delete
    configurations  configuration and sealed credentials
    observations    what gateways told: steps, machines, findings, events
    reports         the hub's side: who a gateway is, what is wanted of it, what it reports
    allowances      how fast a gateway is read
    restored        what a restored console asks a person before it changes anything
    volumes         how much is stored of its events
    audit           who changed what
    collapsed       what may happen thousands of times a second, for the audit

A method that a person causes takes the `Actor` first and asks `auth.may`. Each is one transaction; news go out by
`streams` after the commit.
"""

from __future__ import annotations

from pcg.clock import Clock
from pcg.console.accounts import Accounts
from pcg.console.allowances import Allowances
from pcg.console.audit import Audit
from pcg.console.certificates import Certificates
from pcg.console.collapsed_audit import CollapsedAudit
from pcg.console.configurations import Configurations
from pcg.console.gateways import Gateways
from pcg.console.install_instructions import Installation
from pcg.console.metrics import Counts
from pcg.console.observations import Observations
from pcg.console.presence import Presence
from pcg.console.reports import Reports
from pcg.console.restored import RestoredConsole
from pcg.console.store.database import Database
from pcg.console.stored_volumes import StoredVolumes
from pcg.console.streams import Streams, Topic


class Service:
    def __init__(self, database: Database, certificates: Certificates, endpoint: str, clock: Clock) -> None:
        self.database = database
        self.certificates = certificates
        self.clock = clock
        self.counts = Counts()
        self.streams = Streams()
        self.presence = Presence()
        self.collapsed = CollapsedAudit(database, clock)
        self.accounts = Accounts(database, clock, self.collapsed)
        self._installation = Installation(endpoint, certificates.pin)
        self.gateways = Gateways(database, self.streams, self.presence, clock, self._installation)
        self.configurations = Configurations(database, self.streams, clock)
        self.observations = Observations(database, self.presence)
        self.allowances = Allowances(clock, self.collapsed)
        self.volumes = StoredVolumes(database, clock, self.collapsed)
        self.reports = Reports(database, self.streams, self.presence, clock, self.volumes)
        self.restored = RestoredConsole(database, self.streams, clock)
        self.audit = Audit(database)
        self.take_certificates(certificates)

    def take_certificates(self, certificates: Certificates) -> None:
        """As they are from now on: what installers are shown, and what gateways are told to trust."""
        self.certificates = certificates
        self._installation.ca_pin = certificates.pin
        if certificates.console_ca != self.reports.console_ca:
            self.reports.console_ca = certificates.console_ca
            self.streams.notify_all(Topic.DESIRED)
