"""Reading what a machine was given as cloud-init reads it: what is accepted, and in which words the rest is refused."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest
import yaml

from pcg.clouds.guest.user_data import (
    NetworkConfig,
    commands_to_run,
    files_to_write,
    parse_meta_data,
    parse_user_data,
)
from pcg.errors import InvalidInput

CONTENT = "first line\nsecond line\n"
PLAIN = base64.b64encode(CONTENT.encode()).decode()
PACKED = base64.b64encode(gzip.compress(CONTENT.encode(), mtime=0)).decode()


def test_all_that_a_node_needs_is_read() -> None:
    found = parse_user_data(
        "#cloud-config\nhostname: n\nssh_authorized_keys: [k]\nntp: {servers: [a, b]}\nruncmd: [x]\n"
    )
    assert (found.host_name, found.ssh_authorized_keys, found.ntp_servers) == ("n", ("k",), ("a", "b"))
    assert found.run_commands == ["x"]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_user_data_asks_for_nothing(text: str) -> None:
    assert parse_user_data(text) == parse_user_data("#cloud-config\n{}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hostname: x\n", r"Unhandled non-multipart \(text/x-not-multipart\) userdata: 'b'hostname: x"),
        ("#!/bin/sh\necho\n", "Unhandled non-multipart"),
        ("# cloud-config\nhostname: x\n", "Unhandled non-multipart"),
        ("#cloud-config\na: 1\nb: [\n", "Failed loading yaml blob. Invalid format at line 4 column 1"),
        ("#cloud-config\na: 'x\n", "Invalid format at line 3 column 1"),
        ("#cloud-config\n- a\n", r"Yaml load allows \(<class 'dict'>,\) root types, but got list instead"),
        ("#cloud-config\na: \x00\n", "Failed loading yaml blob"),
    ],
)
def test_user_data_that_cloud_init_cannot_use_is_refused_in_its_words(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_user_data(text)
    refused.match(words)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("", CONTENT),
        ("b64", PLAIN),
        ("base64", PLAIN),
        ("gz+b64", PACKED),
        ("gzip+base64", PACKED),
        ("gz", gzip.compress(CONTENT.encode(), mtime=0)),
    ],
)
def test_every_encoding_of_a_file_gives_its_content(encoding: str, content: Any) -> None:
    (file,) = files_to_write([{"path": "/a", "content": content, "encoding": encoding}])
    assert file.content.decode() == CONTENT


@pytest.mark.parametrize(
    ("encoding", "content"), [("b64", "abcde"), ("gz+b64", PLAIN), ("gz", "plain"), ("gz+b64", PACKED[:40])]
)
def test_content_that_is_not_in_its_encoding_is_refused(encoding: str, content: str) -> None:
    with pytest.raises(InvalidInput, match="Failed to decode"):
        files_to_write([{"path": "/a", "content": content, "encoding": encoding}])


@pytest.mark.parametrize(("given", "mode"), [("0600", 0o600), ("755", 0o755), (0o640, 0o640), (None, 0o644)])
def test_permissions_are_octal_text_or_a_number(given: Any, mode: int) -> None:
    entry = {"path": "/a"} if given is None else {"path": "/a", "permissions": given}
    assert files_to_write([entry])[0].mode == mode


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"path": "/a"}, "write_files must be a list, not dict"),
        ([{"content": "x"}], "No path provided to write for entry 1 in module write_files"),
        ([{"path": "/a"}, {"path": 7}], "No path provided to write for entry 2"),
        ([{"path": "/a", "permissions": "rw-r"}], "Undecodable permissions 'rw-r' of /a"),
        ([{"path": "/a", "permissions": [6]}], "Undecodable permissions"),
    ],
)
def test_files_that_cannot_be_written_are_refused(raw: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        files_to_write(raw)


def test_a_command_is_a_list_or_a_text() -> None:
    assert commands_to_run([["kubeadm", "init", 7], "echo hello"]) == [["kubeadm", "init", "7"], "echo hello"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("echo", "Input to 'runcmd' was expected to be a list, not str"),
        (["true", 5], r"Unable to shellify type int \(item 2\). Expected list, string"),
        ([[]], r"Unable to shellify type list \(item 1\)"),
        ([{"a": "b"}], "Unable to shellify type dict"),
    ],
)
def test_commands_of_another_form_are_refused(raw: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        commands_to_run(raw)


NETWORK = {
    "version": 2,
    "ethernets": {
        "id0": {
            "dhcp4": False,
            "addresses": ["127.64.0.20/24"],
            "routes": [{"to": "default", "via": "127.64.0.1"}],
            "nameservers": {"addresses": ["127.64.0.2"], "search": ["lab.test"]},
        }
    },
}


@pytest.mark.parametrize("form", ["mapping", "nested", "base64", "gzip"])
def test_a_static_network_is_read_in_every_form_of_the_vmware_source(form: str) -> None:
    text = yaml.safe_dump({"network": NETWORK})
    document: dict[str, Any] = {"instance-id": "i", "local-hostname": "h"}
    if form == "mapping":
        document["network"] = NETWORK
    elif form == "nested":
        document["network"] = {"network": NETWORK}
    else:
        packed = gzip.compress(text.encode()) if form == "gzip" else text.encode()
        document |= {"network": base64.b64encode(packed).decode()}
        document |= {"network.encoding": "gzip+base64" if form == "gzip" else "base64"}
    found = parse_meta_data(yaml.safe_dump(document))
    assert found.network == NetworkConfig(False, "127.64.0.20/24", "127.64.0.1", ("127.64.0.2",), ("lab.test",))
    assert (found.instance_id, found.host_name) == ("i", "h")


def test_meta_data_without_a_network_means_dhcp() -> None:
    assert parse_meta_data("instance-id: i").network.dhcp


def test_the_older_gateway4_is_understood() -> None:
    network = {"version": 2, "ethernets": {"e": {"addresses": ["127.64.0.20/24"], "gateway4": "127.64.0.1"}}}
    assert parse_meta_data(yaml.safe_dump({"network": network})).network.gateway == "127.64.0.1"


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"version": 1, "config": []}, "only version 2 is known here"),
        ({"version": 2}, "no ethernets"),
        ({"version": 2, "ethernets": {"e": "dhcp"}}, "an ethernet must be a mapping"),
        ({"version": 2, "ethernets": {"e": {"addresses": ["127.64.0.300/24"]}}}, "Failed loading network config"),
        (7, "Failed loading network config"),
        ("abcde", "Failed to decode base64 content"),
    ],
)
def test_a_network_that_cannot_be_read_is_refused(network: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse_meta_data(yaml.safe_dump({"network": network}))


def test_secret_contents_are_not_shown_when_a_file_is_printed() -> None:
    (file,) = files_to_write([{"path": "/a", "content": "hidden"}])
    assert "hidden" not in repr(file)
    assert "hidden" not in repr(parse_user_data("#cloud-config\nwrite_files: [{path: /a, content: hidden}]\n"))
