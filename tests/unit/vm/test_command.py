"""What QEMU is asked for."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ovenbird.boards import Firmware, VirtualMachine, board
from ovenbird.errors import HostError, UsageError
from ovenbird.vm import command as module
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Files, Kernel, Settings, command
from ovenbird.vm.network import Forward, forwards, free_port, is_free

VIRTUAL = board("vm").virtual


def words(settings: Settings, accelerator: Accelerator = Accelerator.TCG) -> list[str]:
    return [str(word) for word in command(settings, Files(Path("/f")), [(Path("/d.img"), "raw")], accelerator)]


def values(found: list[str], option: str) -> list[str]:
    return [found[place + 1] for place, word in enumerate(found) if word == option]


def test_bios_needs_no_firmware_files() -> None:
    assert not [word for word in words(Settings(VIRTUAL, boot=Boot.BIOS)) if "pflash" in word]


def test_uefi_gets_code_and_variables(tmp_path: Path) -> None:
    code, variables = tmp_path / "code", tmp_path / "variables"
    code.touch()
    variables.touch()
    virtual = VirtualMachine("q", "q35", "max", "1G", "disk", "net", (), (Firmware(str(code), str(variables)),))
    drives = values(words(Settings(virtual)), "-drive")
    assert f"if=pflash,format=raw,readonly=on,file={code}" in drives
    assert "if=pflash,format=raw,file=/f/variables.fd" in drives


def test_missing_firmware_names_the_package() -> None:
    virtual = VirtualMachine("q", "q35", "max", "1G", "disk", "net", (), (Firmware("/no/code", "/no/variables"),))
    with pytest.raises(HostError) as error:
        module.firmware(virtual)
    assert error.value.hint is not None
    assert "apt-get install ovmf" in error.value.hint


def test_one_processor_without_broken_and_slow_instructions_in_software() -> None:
    found = words(Settings(VIRTUAL, boot=Boot.BIOS))
    assert values(found, "-smp") == ["1"]
    (emulated,) = values(found, "-cpu")
    assert {"-cx16", "-avx2"} <= set(emulated.split(","))
    assert values(words(Settings(VIRTUAL, boot=Boot.BIOS), Accelerator.KVM), "-cpu") == ["host"]


def test_secrets_are_not_in_the_list_of_processes() -> None:
    found = words(Settings(VIRTUAL, boot=Boot.BIOS, credentials={"ovenbird.password": "secret words"}))
    assert "secret" not in " ".join(found)
    assert values(found, "-smbios") == ["type=11,path=/f/credential-ovenbird.password"]


def test_a_kernel_is_loaded_directly() -> None:
    kernel = Kernel(Path("/k"), Path("/i"), "a b=c")
    found = words(Settings(VIRTUAL, boot=Boot.KERNEL, kernel=kernel))
    assert (values(found, "-kernel"), values(found, "-append")) == (["/k"], ["a b=c"])


def test_ports_are_forwarded_from_this_machine_only() -> None:
    (net,) = values(words(Settings(VIRTUAL, boot=Boot.BIOS, forwards=(Forward(8080, 80),))), "-netdev")
    assert net == "user,id=net,hostfwd=tcp:127.0.0.1:8080-:80"


@pytest.mark.parametrize(("text", "expected"), [("8443:443", Forward(8443, 443)), ("9000", Forward(9000, 9000))])
def test_forwardings_are_read(text: str, expected: Forward) -> None:
    assert Forward.parse(text) == expected


@pytest.mark.parametrize("text", ["", "a:b", "1:", ":1", "0:80", "80:65536", "1:2:3", "-1:2", "²:2"])
def test_wrong_forwardings_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a port forwarding"):
        Forward.parse(text)


def test_a_free_port_is_found_past_used_ones() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert port < free_port(port) < port + 200
        with pytest.raises(UsageError, match=f"port {port} of this machine is in use"):
            forwards([Forward(port, 443)])


def test_usual_ports_are_added_unless_asked_for() -> None:
    port = free_port(20000)
    chosen = forwards([Forward(port, 80)])
    assert chosen[0] == Forward(port, 80)
    assert [forward.guest for forward in chosen] == [80, 22]
    assert len({forward.host for forward in chosen}) == 2
