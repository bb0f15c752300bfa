"""The stock stages on a running device, each by what it is for. The tests share one machine, in this order; the last of
them restarts it.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from ovenbird.vm.network import ADDRESS
from tests.vm.guest import PATIENCE, SSH, Guest, guest, wait

pytestmark = pytest.mark.vm

PASSWORD = "tobak-mirun-depol"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The socket of the machine's second serial port."""
    return tmp_path_factory.mktemp("line") / "second"


@pytest.fixture(scope="module")
def device(stages: Path, key: Path, line: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device, with two further serial ports; something is plugged into the first of them."""
    extra = ["-chardev", f"socket,id=second,path={line},server=on,wait=off", "-serial", "chardev:second"]
    folder = tmp_path_factory.mktemp("stages")
    with guest(stages, folder, password=PASSWORD, key=key, extra=[*extra, "-serial", "null"]) as running:
        yield running


def test_nothing_failed(device: Guest) -> None:
    assert device.run("systemctl --failed --no-legend --plain") == ""


# --- swap -------------------------------------------------------------------------------------------------------------


def test_swap_is_in_compressed_memory(device: Guest) -> None:
    name, size = device.run("swapon --show=NAME,SIZE --bytes --noheadings --raw").split()
    total = int(re.findall(r"\d+", device.run("grep MemTotal /proc/meminfo"))[0]) * 1024
    assert name == "/dev/zram0"
    assert 0.38 < int(size) / total < 0.42
    assert "[zstd]" in device.run("cat /sys/block/zram0/comp_algorithm")
    assert device.run("cat /proc/sys/vm/swappiness /proc/sys/vm/page-cluster") == "100\n0"


# --- no-bluetooth -----------------------------------------------------------------------------------------------------


def test_bluetooth_cannot_be_loaded(device: Guest) -> None:
    assert device.run("modinfo -F description bluetooth")  # The kernel has it.
    assert device.run("modprobe bluetooth 2>/dev/null || echo no") == "no"
    assert device.run("modprobe btusb 2>/dev/null || echo no") == "no"
    assert device.run("grep -c bluetooth /proc/modules || true") == "0"
    assert device.run("systemctl is-enabled bluetooth.service || true") == "masked"


# --- serial-console ---------------------------------------------------------------------------------------------------


def test_a_serial_port_has_its_login(device: Guest, line: Path) -> None:
    with socket.socket(socket.AF_UNIX) as port:
        port.connect(str(line))
        port.settimeout(5)
        said = b""

        def hears() -> bool:
            nonlocal said
            port.sendall(b"\recho $(id -un) on $(tty)\r")
            try:
                while piece := port.recv(4096):
                    said += piece
                    if b"admin on /dev/ttyS1" in said:
                        return True
            except TimeoutError:
                pass
            return False

        try:
            wait(hears, PATIENCE)
        except TimeoutError as error:
            status = device.run("systemctl status 'serial-getty@*' dev-ttyS1.device --no-pager -n 20 || true")
            raise AssertionError(f"{said!r}\n{status}") from error
    assert device.run("stty -F /dev/ttyS1 speed") == "9600"


def test_another_one_is_kept_free(device: Guest) -> None:
    assert device.run("systemctl is-enabled serial-getty@ttyS2.service || true") == "masked"


def test_nobody_waits_for_a_port_that_is_not_there(device: Guest) -> None:
    assert device.run("systemctl is-active serial-getty@ttyUSB0.service || true") == "inactive"
    assert "No jobs" in device.run("systemctl list-jobs")


# --- usb-gadget -------------------------------------------------------------------------------------------------------

FETCH = "import urllib.request; print(urllib.request.urlopen('http://10.55.0.1/status', timeout=60).status)"
INTERFACES = """
for folder in /sys/class/net/*; do
    if grep -q DEVTYPE=gadget $folder/uevent; then echo gadget=${folder##*/}; fi
    case $(readlink $folder/device/driver) in */cdc_ncm) echo pc=${folder##*/} ;; esac
done
"""


def test_a_pc_gets_a_network_by_cable(device: Guest) -> None:
    """The kernel's played port has both ends in this machine: the gadget's, and that of the PC."""
    device.run("modprobe dummy_hcd")

    def both() -> dict[str, str] | None:
        found = dict(line.split("=") for line in device.run(INTERFACES).split())
        return found if len(found) == 2 else None

    try:
        ends = wait(both, PATIENCE, every=2)
        wait(lambda: "10.55.0.1/24" in device.run(f"ip -4 -o address show dev {ends['gadget']}"), PATIENCE, every=2)
        leased = f"ip -4 -o address show dev {ends['pc']} | sed -n 's/.* inet \\(10.55.0.[0-9]*\\).*/\\1/p'"
        address = wait(lambda: device.run(leased), PATIENCE, every=2)
    except TimeoutError as error:
        log = "journalctl -b --no-pager -o cat -u 'ovenbird-gadget@*' -u systemd-networkd | tail -n 40; networkctl -a"
        raise AssertionError(device.run(log)) from error
    assert address != "10.55.0.1"
    # Both ends are one machine's; as another's, the PC's is in a namespace of its own.
    device.run(
        f"ip netns add pc; ip link set {ends['pc']} netns pc; ip -n pc address add {address}/24 dev {ends['pc']};"
        f"ip -n pc link set {ends['pc']} up"
    )
    assert device.run(f'ip netns exec pc python3 -c "{FETCH}"') == "200"
    assert device.run("ip -n pc route show default") == ""
    assert device.run("systemctl is-active ovenbird-gadget@dummy_udc.0.service") == "active"


def test_it_goes_away_without_a_trace(device: Guest) -> None:
    device.run("systemctl stop ovenbird-gadget@dummy_udc.0.service")
    assert device.run("ls /sys/kernel/config/usb_gadget") == ""


# --- rw and ro --------------------------------------------------------------------------------------------------------

RUNNING = "systemctl show -P MainPID -P NRestarts ovenbird-agent.service app-ticker.service"
LAYERS = """
for pid in self $(systemctl show -P MainPID ovenbird-agent.service app-ticker.service); do
    grep -c "overlay ovenbird-writable" /proc/$pid/mountinfo || true
done
"""


def page(device: Guest) -> str:
    """The device's page, as HTML."""
    return device.run(
        'python3 -c "import urllib.request as r; '
        "print(r.urlopen(r.Request('http://127.0.0.1/', headers={'Accept': 'text/html'})).read().decode())\""
    )


def login(device: Guest) -> str:
    """What somebody sees who logs in."""
    words = [*SSH, "-tt", "-i", str(device.key), "-p", str(device.machine.port(22)), "-l", "admin", ADDRESS]
    return subprocess.run(words, input="exit\n", capture_output=True, text=True, check=True).stdout


def tick(device: Guest) -> int:
    """When the app last ran a program of the image."""
    return int(device.run("cat /data/apps/ticker/tick"))


def test_the_root_becomes_writable_and_is_shown_to_be(device: Guest) -> None:
    assert device.run("touch /usr/bin/new 2>&1 || true").endswith("Read-only file system")
    assert device.ssh("/usr/sbin/rw").returncode == 1  # Not root.
    running = device.run(RUNNING)
    begin = len(device.machine.console)
    assert "gone after" in device.run("rw")
    assert device.run("rw") == 'The root is writable already; "ro" takes that back.'
    device.run("echo '#!/bin/sh\necho hello' >/usr/bin/new; chmod +x /usr/bin/new; echo changed >>/usr/lib/os-release")
    device.run("mkdir /opt/thing; echo >>/var/lib/dpkg/status; touch /srv/beside; rm /usr/bin/stty")
    assert device.ssh("new").stdout == "hello\n"
    assert device.run(RUNNING) == running
    # What is mounted in a folder of the image is there as before.
    assert device.run("cat /srv/kept/note; echo mine >>/srv/kept/note") == "seeded"

    assert device.overview()["writable"] is True
    assert "The root is writable, for an experiment" in page(device)
    device.machine.wait_for("Ovenbird: the root is writable", PATIENCE, since=begin)
    assert "writable" in device.run("cat /run/issue.d/70-ovenbird-writable.issue")
    assert "The root of this device is writable" in login(device)
    agent = "$(systemctl show -P MainPID ovenbird-agent.service)"
    assert device.run(f"nsenter -t {agent} -m ls /usr/bin/new") == "/usr/bin/new"


def test_an_experiment_that_is_too_large_harms_nothing(device: Guest) -> None:
    said = device.run("dd if=/dev/zero of=/usr/big bs=1M count=100 2>&1 || true; rm /usr/big")
    assert "No space left on device" in said
    assert device.health()["status"] == "ok"


def test_it_is_taken_away_and_what_runs_goes_on(device: Guest) -> None:
    device.run("echo kept >/etc/kept; systemctl restart ovenbird-agent.service")
    etc = device.run("grep ' /etc ' /proc/mounts")
    running, before = device.run(RUNNING), tick(device)
    assert "the image's again" in device.run("ro")
    assert device.run("ro") == "The root is read-only as it is."

    assert device.run("ls /usr/bin/new /opt/thing /srv/beside 2>&1 | grep -c 'No such file'") == "3"
    assert device.run("touch /usr/bin/new 2>&1 || true").endswith("Read-only file system")
    assert device.run("grep -c changed /usr/lib/os-release || true; ls /usr/bin/stty") == "0\n/usr/bin/stty"
    assert device.run("grep -v ' /etc ' /proc/mounts | grep -c writable || true") == "0"
    assert device.run("grep ' /etc ' /proc/mounts; cat /etc/kept; cat /srv/kept/note") == f"{etc}\nkept\nseeded\nmine"
    # Neither the agent, which was started meanwhile, nor an app from before has lost anything, or kept a layer.
    assert device.run(LAYERS).split() == ["0", "0", "0"]
    assert device.run(RUNNING) == running
    wait(lambda: tick(device) > before, PATIENCE)
    assert device.overview()["writable"] is False
    assert device.ask("POST", "/network/enp9s9/undo", PASSWORD).status != 401
    assert "writable" not in login(device)
    assert device.run("systemctl --failed --no-legend --plain") == ""


def test_a_restart_takes_it_away_too(device: Guest) -> None:
    device.run("rw; touch /usr/bin/new")
    assert device.ask("POST", "/reboot", PASSWORD).status == 202
    assert device.wait_for_boot()["writable"] is False
    assert device.run("ls /usr/bin/new 2>&1 || true").endswith("No such file or directory")
    assert device.run("cat /etc/kept; cat /srv/kept/note") == "kept\nseeded\nmine"
    assert device.run("systemctl --failed --no-legend --plain") == ""
