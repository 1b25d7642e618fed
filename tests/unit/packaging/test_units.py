"""systemd's files: who runs the services, what they may do, and that every option and variable in them exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from pcg.cli.console import serve
from pcg.cli.failure import EXIT_INPUT, EXIT_REFUSED
from pcg.cli.install import install
from pcg.cli.monitor import monitor

FOLDER = Path(__file__).resolve().parents[3] / "packaging" / "systemd"
UNITS = ("pcg-console.service", "pcg-installer.service", "pcg-monitor.service")
HARDENING = {
    "NoNewPrivileges": ["yes"],
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "PrivateDevices": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectControlGroups": ["yes"],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "RestrictNamespaces": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "UMask": ["0077"],
    "StateDirectoryMode": ["0700"],
}


def settings_of(name: str) -> dict[str, list[str]]:
    """Every setting of a unit with its values in order; comments and sections left out, continued lines joined."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (FOLDER / name).read_text().replace("\\\n", " ").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def variables_of(name: str) -> set[str]:
    """Of an example of settings, with those that are commented out."""
    return set(re.findall(r"^#?(PCG_[A-Z_]+)=", (FOLDER / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS)
def test_hardening(unit: str) -> None:
    settings = settings_of(unit)
    assert {key: settings[key] for key in HARDENING} == HARDENING
    assert settings["SystemCallFilter"][:2] == ["@system-service", "~@privileged @resources"]


@pytest.mark.parametrize("unit", UNITS)
def test_the_user_is_made_and_owns_the_state_alone(unit: str) -> None:
    settings = settings_of(unit)
    (user,), (group,), (state,) = settings["User"], settings["Group"], settings["StateDirectory"]
    assert user == group != "root"
    made = {
        line.split()[1]: line.split()[-1]
        for line in (FOLDER / "pcg.sysusers").read_text().splitlines()
        if line[0] == "u"
    }
    assert made[user] == f"/var/lib/{state}"


def test_console_and_installer_share_neither_user_nor_state_directory() -> None:
    for key in ("User", "StateDirectory"):
        console, installer, monitor = (settings_of(unit)[key][0] for unit in UNITS)
        assert console != installer
        assert monitor == installer, "it reads what only the installer's user may"


@pytest.mark.parametrize("unit", UNITS)
def test_only_what_may_pass_is_started_again(unit: str) -> None:
    settings = settings_of(unit)
    assert settings["Restart"] == ["on-failure"]
    assert settings["RestartPreventExitStatus"] == [f"{EXIT_INPUT} {EXIT_REFUSED}"]
    assert settings["KillSignal"] == ["SIGTERM"]
    assert settings["KillMode"] == ["mixed"]
    assert int(settings["TimeoutStopSec"][0]) >= 20


def test_jets_leash_keeps_the_one_call_that_it_needs() -> None:
    assert settings_of("pcg-installer.service")["SystemCallFilter"][2:] == ["capset"]
    assert settings_of("pcg-console.service")["SystemCallFilter"][2:] == []


def test_the_installer_appends_to_the_log_of_an_appliance() -> None:
    settings = settings_of("pcg-installer.service")
    assert settings["StandardOutput"] == ["append:/var/log/cloud-init-output.log"]
    assert settings["StandardError"] == ["inherit"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_secret_that_is_not_there_is_no_failure(unit: str) -> None:
    settings = settings_of(unit)
    loaded = dict(line.split(":", 1) for line in settings["LoadCredential"])
    assert loaded and all(path.startswith("/etc/pcg/") for path in loaded.values())
    assert dict(line.split(":", 1) for line in settings["SetCredential"]) == dict.fromkeys(loaded, r"\n")


def test_every_credential_of_the_installer_is_given_to_it() -> None:
    settings = settings_of("pcg-installer.service")
    given = dict(line.split("=", 1) for line in settings["Environment"])
    assert set(given.values()) == {f"%d/{line.partition(':')[0]}" for line in settings["LoadCredential"]}
    assert set(given) | variables_of("installer.env") <= {str(option.envvar) for option in install.params}


def test_the_installers_options_exist() -> None:
    words = shlex.split(settings_of("pcg-installer.service")["ExecStart"][0].replace("%S", "/var/lib"))
    assert words[:2] == ["/opt/pcg/venv/bin/pcg", "install"]
    context = install.make_context("install", words[2:])
    assert context.params["state"] == Path("/var/lib/pcg")


def test_the_pages_options_exist_and_its_password_reaches_no_log() -> None:
    settings = settings_of("pcg-monitor.service")
    words = shlex.split(settings["ExecStart"][0].replace("%S", "/var/lib"))
    assert words[:2] == ["/opt/pcg/venv/bin/pcg", "monitor"]
    given = monitor.make_context("monitor", words[2:]).params
    assert (given["state"], given["listen"]) == (Path("/var/lib/pcg"), "0.0.0.0:5080")
    names = {line.partition("=")[0] for line in settings["Environment"]}
    assert names <= {str(option.envvar) for option in monitor.params}
    assert (settings["StandardOutput"], settings["TTYPath"]) == (["tty"], ["/dev/console"])
    assert "/run/pcg-monitor/screen.issue" in (FOLDER / "pcg.tmpfiles").read_text()


def test_the_consoles_options_exist(tmp_path: Path) -> None:
    line = settings_of("pcg-console.service")["ExecStart"][0].replace("%S", str(tmp_path))
    example = dict(re.findall(r"^(PCG_CONSOLE_[A-Z]+)=(.*)$", (FOLDER / "console.env").read_text(), re.MULTILINE))
    for name, value in example.items():
        line = line.replace(f"${{{name}}}", value).replace(f"${name}", value)
    words = shlex.split(line)
    assert words[3:6] == ["/opt/pcg/venv/bin/pcg", "console", "serve"]
    given = serve.make_context("serve", words[6:]).params
    assert given["listen"] == "0.0.0.0:8443"
    assert given["public_urls"] == ("https://console.example.com:8443",)
    # Not the state directory itself: its user cannot rename that, which `restore --replace` does.
    assert given["data"] == tmp_path / "pcg-console" / "data"


@pytest.mark.parametrize(
    "content,password", [("se cret'\"$x\n", "se cret'\"$x"), ("\n", "")], ids=["given", "not-given"]
)
def test_the_shell_hands_over_the_password_and_every_option(tmp_path: Path, content: str, password: str) -> None:
    (tmp_path / "admin-password").write_text(content)
    shell, flag, script, *_ = shlex.split(settings_of("pcg-console.service")["ExecStart"][0])
    told = "import os, sys; print([os.environ['PCG_ADMIN_PASSWORD'], *sys.argv[1:]])"
    done = subprocess.run(
        [shell, flag, script.replace("$$", "$"), sys.executable, "-c", told, "a b", "--public-url", "https://x"],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str([password, "a b", "--public-url", "https://x"])


def test_secrets_that_are_not_there_count_as_not_given(tmp_path: Path) -> None:
    """As SetCredential leaves them. Without a pairing code the installer says so, instead of taking a blank one."""
    nothing = tmp_path / "nothing"
    nothing.write_text("\n")
    settings = settings_of("pcg-installer.service")
    variables = {line.partition("=")[0]: str(nothing) for line in settings["Environment"]}
    variables |= {"PATH": "/usr/bin:/bin", "PCG_ENDPOINT": "https://127.0.0.1:9", "PCG_CA_PIN": f"sha256:{'0' * 64}"}
    done = subprocess.run(
        [sys.executable, "-m", "pcg.cli.main", "install", "--state", str(tmp_path / "state")],
        env=variables,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == EXIT_INPUT
    assert "pairing" in done.stderr
    assert "proxy" not in done.stderr


def test_port_443_takes_that_capability_and_no_other() -> None:
    settings = settings_of("pcg-console-port-443.conf")
    assert settings == {
        "CapabilityBoundingSet": ["CAP_NET_BIND_SERVICE"],
        "AmbientCapabilities": ["CAP_NET_BIND_SERVICE"],
    }


# Where systemd is, it reads the files itself.
if shutil.which("systemd-analyze"):

    @pytest.mark.parametrize("unit", UNITS)
    def test_systemd_understands_the_unit(tmp_path: Path, unit: str) -> None:
        # It looks for the command too, which is not installed here.
        copy = tmp_path / unit
        copy.write_text((FOLDER / unit).read_text().replace("/opt/pcg/venv/bin/pcg", sys.executable))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
