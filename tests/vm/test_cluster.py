"""A cluster in one go: three cards out of one devices file, three machines on one network, one Prometheus over them.

The tests share the machines, in this order. All of it is in a network namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ovenbird.boards import board
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Settings
from tests.tool import OUTPUT, RECIPES, ROOT, Tool
from tests.vm.bridge import Lan, Plugged, lan
from tests.vm.guest import PATIENCE, SSH, wait

pytestmark = [pytest.mark.vm, pytest.mark.cluster]

EXAMPLE = ROOT / "examples/cluster"
SECRETS = {"CLUSTER_PASSWORD": "tobak-mirun-depol", "WIFI_PASSPHRASE": "geheim geheim"}
NODES = {"node-1": "192.168.7.11", "node-2": "192.168.7.12", "node-3": "192.168.7.13"}
ANNOUNCED = """
import json, sys, time
from zeroconf import ServiceBrowser, ServiceInfo, Zeroconf
found = {}
def changed(zeroconf, service_type, name, state_change):
    found[name] = None
with Zeroconf(interfaces=["192.168.7.1"]) as zeroconf:
    browser = ServiceBrowser(zeroconf, sys.argv[1], handlers=[changed])
    time.sleep(5)
    for name in found:
        info = ServiceInfo(sys.argv[1], name)
        if info.request(zeroconf, 3000):
            found[name] = [info.server, info.port, *info.parsed_addresses()]
print(json.dumps(found))
"""
PROMETHEUS = "http://127.0.0.1:9090/api/v1"


@dataclass(frozen=True)
class Cluster:
    """The network, its machines by name, and the folder of whoever looks after them."""

    lan: Lan
    folder: Path
    key: Path
    machines: dict[str, Plugged]

    def ssh(self, node: str, script: str) -> str:
        """Run a script on a node as its user, which must succeed."""
        words = [*SSH, "-i", str(self.key), "-l", "cluster", NODES[node], script]
        done = self.lan.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def scan(self, *words: str | Path) -> str:
        """What the tool finds on the network."""
        program = Path(sys.executable).with_name("ovenbird")
        done = self.lan.run(program, "scan", "--interface", "br0", "--wait", "3", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def found(self) -> dict[str, Any]:
        """The devices that answered, by name."""
        listed = json.loads(self.scan("--json"))
        return {one["hostname"]: one for one in listed if one["glance"] is not None}

    def ask(self, what: str) -> Any:  # noqa: ANN401  # Prometheus' JSON.
        """What Prometheus says to a question; nothing where it does not answer."""
        script = f"import urllib.request as r; print(r.urlopen('{PROMETHEUS}/{what}', timeout=60).read().decode())"
        done = self.lan.run(sys.executable, "-c", script)
        return json.loads(done.stdout)["data"] if done.returncode == 0 else None

    def query(self, expression: str) -> dict[tuple[str, str], float]:
        """The values of a metric, by job and instance."""
        answer = self.ask(f"query?query={expression}")
        found: list[dict[str, Any]] = answer["result"] if answer else []
        return {(one["metric"]["job"], one["metric"]["instance"]): float(one["value"][1]) for one in found}


@pytest.fixture(scope="module")
def cards(tool: Tool, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what is the example's own, and a card for each node."""
    folder = tmp_path_factory.mktemp("cluster")
    image = OUTPUT / "cluster"
    tool.build(RECIPES / "cluster", "--out", image)
    for name in ("devices.toml", "prometheus.yml"):
        shutil.copy(EXAMPLE / name, folder)
    (folder / "keys").mkdir()
    shutil.copy(key.with_name(f"{key.name}.pub"), folder / "keys/test.pub")
    done = tool.run(
        "flash", image, "--to", folder / "{name}.img", "--devices", folder / "devices.toml", "--all", env=SECRETS
    )
    assert done.code == 0, done.err
    assert [line.split(" (")[0].partition(" holds ")[2] for line in done.out.splitlines()] == [
        f"cluster 1.0.0 as {name}" for name in NODES
    ]
    return folder


@pytest.fixture(scope="module")
def cluster(cards: Path, key: Path) -> Generator[Cluster]:
    """All of them switched on, and found."""
    with ExitStack() as stack:
        network = stack.enter_context(lan("192.168.7.1/24"))
        machines: dict[str, Plugged] = {}
        for number, name in enumerate(NODES, 1):
            network.plug(f"tap{number}")
            virtual = board("vm").virtual
            virtual = replace(virtual, network=f"{virtual.network},mac=52:54:00:00:07:{number:02x}", memory="512M")
            machine = Plugged(
                Settings(virtual, boot=Boot.BIOS), [cards / f"{name}.img"], accelerated=Accelerator.TCG, start=False
            )
            machine.lan, machine.cable = network, f"tap{number}"
            machines[name] = stack.enter_context(machine)
            machine.power_on()
        made = Cluster(network, cards, key, machines)
        try:
            wait(lambda: set(NODES) <= set(made.found()), 2 * PATIENCE, every=2)
        except TimeoutError as error:
            consoles = "\n".join(f"--- {name}\n{one.console[-1500:]}" for name, one in machines.items())
            raise AssertionError(f"{made.scan()}\n{consoles}") from error
        yield made


def all_of(found: dict[str, Any]) -> dict[str, Any] | None:
    """What was found, if it is all of them: a busy machine may answer too late."""
    return found if set(found) == set(NODES) else None


def targets(cluster: Cluster, *words: str) -> set[str]:
    """Look around, and write the file for Prometheus; who is in it then."""
    file = cluster.folder / "targets.json"
    cluster.scan("--prometheus", file, "--exporter", "9100", *words)
    return {one["labels"]["instance"] for one in json.loads(file.read_bytes())}


def test_every_node_shows_up_as_its_card_says(cluster: Cluster) -> None:
    found = wait(lambda: all_of(cluster.found()), PATIENCE)
    assert {name: one["target"] for name, one in found.items()} == NODES
    assert len({one["glance"]["id"] for one in found.values()}) == len(NODES)
    assert all(one["announced"] for one in found.values())
    listed = [[name, "cluster", "1.0.0"] for name in NODES]
    wait(lambda: [line.split()[:3] for line in cluster.scan().splitlines()[1:]] == listed, PATIENCE)


def test_each_has_its_user_key_wifi_and_place(cluster: Cluster) -> None:
    for name in NODES:
        said = cluster.ssh(
            name, "hostname; date -d 2026-07-01T12:00 +%Z; ls /etc/ovenbird/wifi; ip -4 -o a show scope global"
        )
        assert said.splitlines()[:3] == [name, "CEST", "wpa_supplicant.conf"]
        assert f"{NODES[name]}/24" in said


def test_nodes_know_each_other_by_name(cluster: Cluster) -> None:
    known = cluster.ssh("node-1", "getent ahostsv4 node-2.local").splitlines()
    assert NODES["node-2"] in {line.split()[0] for line in known}


@pytest.mark.parametrize(("service", "port"), [("_ssh._tcp.local.", 22), ("_ovenbird._tcp.local.", 80)])
def test_services_are_announced(cluster: Cluster, service: str, port: int) -> None:
    """What the stage `mdns` adds, and what every device says of itself."""
    expected = {f"{name}.{service}": [f"{name}.local.", port] for name in NODES}
    seen: dict[str, Any] = {}

    def complete() -> bool:
        done = cluster.lan.run(sys.executable, "-c", ANNOUNCED, service)
        seen.update({name: one and one[:2] for name, one in json.loads(done.stdout or "{}").items() if one})
        return seen == expected

    try:
        wait(complete, PATIENCE)
    except TimeoutError as error:
        raise AssertionError(seen) from error


@pytest.fixture(scope="module")
def watched(cluster: Cluster) -> Generator[Cluster]:
    """The same with Debian's Prometheus, told of them by the tool."""
    wait(lambda: targets(cluster) == set(NODES), PATIENCE)
    log = cluster.folder / "prometheus.log"
    words = cluster.lan.inside(
        "prometheus", f"--config.file={cluster.folder}/prometheus.yml", f"--storage.tsdb.path={cluster.folder}/numbers",
        "--web.listen-address=127.0.0.1:9090",
    )  # fmt: skip
    with log.open("w") as file, subprocess.Popen(words, stdout=file, stderr=file, cwd=cluster.folder) as running:
        try:
            yield cluster
        finally:
            os.kill(running.pid, signal.SIGTERM)


def test_prometheus_has_the_numbers_of_all(watched: Cluster) -> None:
    every = {(job, name): 1.0 for job in ("ovenbird", "node") for name in NODES}
    try:
        wait(lambda: watched.query("up") == every, PATIENCE, every=2)
    except TimeoutError as error:
        told = watched.ask("targets")
        raise AssertionError(f"{told}\n{(watched.folder / 'prometheus.log').read_text()[-2000:]}") from error
    assert set(watched.query("node_load1")) == set(every)
    assert set(watched.query("node_uname_info")) >= {("node", name) for name in NODES}


def test_a_node_that_is_switched_off_is_missed(watched: Cluster) -> None:
    watched.machines["node-3"].power_cut()
    wait(lambda: "node-3" not in watched.found(), PATIENCE)
    assert targets(watched, "--keep") == set(NODES)
    wait(lambda: watched.query("up").get(("node", "node-3")) == 0.0, PATIENCE, every=2)
    assert watched.query("up")["node", "node-1"] == 1.0
    wait(lambda: targets(watched) == {"node-1", "node-2"}, PATIENCE)
