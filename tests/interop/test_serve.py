"""The boot server beside the real dnsmasq of a router: what each firmware is offered, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.tool import ROOT
from tests.unit.serve.making import make_out
from tests.vm.served import PROGRAM, URL, Lab, on_a_wire
from tests.vm.wire import BRIDGE, ROUTER, SERVER

pytestmark = pytest.mark.interop

LOADERS = {7: "snponly.efi", 9: "snponly.efi", 11: "grubaa64.efi", 0: "undionly.kpxe"}
BY_HTTP = {16: f"{URL}/programs/snponly.efi", 19: f"{URL}/programs/grubaa64.efi"}


@pytest.fixture
def lab(tmp_path: Path) -> Generator[Lab]:
    """A network with the server's machine; there is an image for each processor."""
    arm64 = make_out(tmp_path / "arm", "thin-arm", architecture="arm64")
    with on_a_wire(tmp_path, (make_out(tmp_path / "out"), arm64)) as made:
        made.wire.run("ip", "link", "add", "client", "type", "veth", "peer", "name", "plug")
        made.wire.run("ip", "link", "set", "plug", "master", BRIDGE, "up")
        made.wire.run("ip", "link", "set", "client", "up")
        yield made


def ask(lab: Lab, kind: int, *more: str) -> dict[str, Any]:
    """What a firmware of that kind is offered, by the servers' addresses."""
    words = (sys.executable, "-m", "tests.vm.asking", "client", str(kind), *more)
    return dict(json.loads(lab.wire.run("env", f"PYTHONPATH={ROOT}", *words)))


def test_beside_a_router_everybody_gets_two_offers(lab: Lab) -> None:
    """An address from the one, what to boot from the other; UEFI by HTTP and iPXE in the offer itself."""
    lab.wire.router("--no-ping")
    lab.start()
    for kind, url in BY_HTTP.items():
        offers = ask(lab, kind)
        assert offers[ROUTER]["offered"].startswith("10.77.0.1")
        assert (offers[SERVER]["offered"], offers[SERVER]["file"]) == ("0.0.0.0", url)
        assert offers[SERVER]["60"] == "HTTPClient"
    assert ask(lab, 0, "ipxe")[SERVER]["file"] == f"{URL}/boot/ipxe"
    for kind in LOADERS:
        offer = ask(lab, kind)[SERVER]
        assert (offer["offered"], offer["60"]) == ("0.0.0.0", "PXEClient")
    assert lab.clients()["52:54:00:aa:00:99"]["stage"] == "firmware"
    lab.stop()


def test_alone_it_offers_both(lab: Lab) -> None:
    """An address of the upper half, and the program."""
    lab.start('dhcp = "full"')
    for kind, file in (LOADERS | BY_HTTP).items():
        offer = ask(lab, kind)[SERVER]
        assert 128 <= int(offer["offered"].rpartition(".")[2]) <= 254
        assert file == (offer.get("67") or offer["file"])
        assert offer["60"] == ("HTTPClient" if kind in BY_HTTP else "PXEClient")
    lab.stop()


def test_another_dhcp_server_is_seen_and_ports_are_explained(lab: Lab) -> None:
    """Full DHCP is refused unless forced; a port in use has its holder's name; without rights there is a remedy."""
    lab.wire.router()
    (lab.state / "serve.toml").write_text('[server]\ninterface = "br0"\n')
    said = lab.ovenbird("--dhcp", "full")
    assert "br0 already has a DHCP server: 10.77.0.2 offers 10.77.0.1" in said
    assert "--dhcp proxy" in said
    lab.start("", "--dhcp", "full", "--force")
    assert "HTTP cannot listen on TCP port 8080: it is in use by" in lab.ovenbird()
    assert "TFTP cannot listen on UDP port 69: it is in use by dnsmasq" in lab.ovenbird("--port", "8081")
    lab.stop()
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")
    done = lab.wire.run(*bare, *PROGRAM, "--state", lab.state, check=False)
    assert "TFTP may not listen on UDP port 69: no right to" in done
    assert "sudo " in done
    done = lab.wire.run(*bare, *PROGRAM, "--state", lab.state, "--port", "80", check=False)
    assert "sysctl net.ipv4.ip_unprivileged_port_start=80" in done
    assert "setcap cap_net_bind_service=+ep" in done
    assert "Traceback" not in done
