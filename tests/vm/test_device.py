"""One device with every stock stage, from its first boot through restarts and power cuts to a broken data partition.

The tests share one machine, in this order; each one leaves it in order, on or off.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ovenbird_device.format import gpt
from ovenbird_device.format.sectors import SECTOR
from tests.vm.guest import PATIENCE, Guest, shown_passwords, wait

pytestmark = pytest.mark.vm

MIB = 1 << 20
# What software emulation and QEMU's firmware tables are blamed for by the kernel, and what the first boot then mends.
KNOWN = r"tsc: |APIC|amd_pstate|GPT:|Speculative|cpufeatures|ACPI|clocksource|hrtimer|rcu|workqueue|perf"


def identity(device: Guest) -> dict[str, str]:
    """What makes a device this one."""
    script = """
        echo "machine $(cat /etc/machine-id)"
        for kind in ed25519 ecdsa; do echo "$kind $(cut -d ' ' -f 2 /etc/ssh/ssh_host_${kind}_key.pub)"; done
        echo "password $(sha256sum </data/ovenbird/password.json)"
        echo "certificate $(sha256sum </data/ovenbird/tls/own.json)"
    """
    found = dict(line.split(" ", 1) for line in device.run(script).splitlines())
    return {**found, "disk": " ".join(map(str, disk_ids(device.table())))}


def disk_ids(table: gpt.Table) -> list[object]:
    return [table.disk, *(partition.uuid for partition in table.partitions)]


def password(device: Guest) -> str:
    """The password that the first boot showed."""
    if device.password is None:
        shown = shown_passwords(device.machine.console)
        assert shown, device.machine.console
        assert len(set(shown)) == 1
        device.password = shown[0]
    return device.password


# --- the first boot ---------------------------------------------------------------------------------------------------


def test_the_first_boot_shows_a_password_that_opens_the_device(device: Guest) -> None:
    assert device.ask("POST", "/reboot").status == 401
    assert device.ask("POST", "/reboot", "wrong-guess-again").status == 401
    kept = device.run("stat -c '%a %U %G' /data/ovenbird/password.json; cat /data/ovenbird/password.json")
    assert kept.startswith("640 root ovenbird\n")
    assert password(device) not in kept
    assert password(device) not in device.run("journalctl --no-pager -b")


def test_the_page_tells_the_facts(device: Guest, full: Path) -> None:
    about = device.overview()
    assert about["hostname"] == "full"
    assert about["image"]["name"] == "full"
    assert about["image"]["version"] == "2.1.0"
    assert about["image"]["board"] == "vm"
    assert (about["slot"], about["trial"], about["etc"]) == ("a", False, "fresh")
    assert about["data"]["state"] == "ok"
    assert "10.0.2.15" in {one["address"] for one in about["addresses"]}
    boot = about["boot"]
    assert 0 < boot["switch_s"] < boot["systemd_s"] < boot["ready_s"] < boot["finished_s"]
    assert device.health()["status"] == "ok"
    # Data fills the disk: the image has 64 MiB, the machine's disk is 1 GiB larger.
    table = device.table()
    data = table.named("data")
    assert table.sectors * SECTOR == device.disk.stat().st_size
    assert data.size > 1060 * MIB
    assert (table.sectors - data.last) * SECTOR <= 2 * MIB
    assert about["data"]["total"] > 0.9 * data.size
    # The image's identifiers are not the device's.
    with (full / "disk.img").open("rb") as image:
        size = (full / "disk.img").stat().st_size // SECTOR

        def read(offset: int, count: int) -> bytes:
            image.seek(offset)
            return image.read(count)

        ours, theirs = disk_ids(table), disk_ids(gpt.read(read, size).table)
    assert not set(ours) & set(theirs)


def test_nothing_failed_and_nobody_complains(device: Guest) -> None:
    assert device.run("systemctl --failed --no-legend") == ""
    assert device.run("systemctl is-system-running") == "running"
    lines = device.run("journalctl -b --no-pager -o short-monotonic -p warning").splitlines()
    print("\n".join(lines))
    assert not [line for line in lines if not re.search(KNOWN, line)]
    assert "FAILED" not in device.machine.console
    # Not twice: the work of the build is not done again.
    assert device.run("systemctl show -P ConditionResult ldconfig systemd-journal-catalog-update") == "no\n\nno"


def test_the_root_is_read_only_and_state_is_where_it_belongs(device: Guest) -> None:
    listing = device.run("findmnt -rn -o TARGET,SOURCE,FSTYPE,OPTIONS")
    mounts = {line.split()[0]: line.split()[1:] for line in listing.splitlines()}
    assert mounts["/"][1] == "squashfs"
    assert mounts["/"][2].startswith("ro")
    assert mounts["/etc"][1] == "overlay"
    assert "upperdir=/sysroot/data/slots/a/etc" in mounts["/etc"][2]
    for path in ("/data", "/var", "/home", "/root", "/srv/pulse"):
        assert mounts[path][1] == "ext4", path
    assert mounts["/var/lib/dpkg"][1] == "squashfs"
    for path in ("/tmp", "/var/tmp", "/var/log"):
        assert mounts[path][1] == "tmpfs", path
    assert device.run("touch /usr/x 2>&1 || true").endswith("Read-only file system")
    device.run("echo here >/etc/written; grep -qx here /data/slots/a/etc/written; rm /etc/written")
    assert device.run("journalctl --header | grep -c '^File path: /var/log' || true") == "0"
    assert device.run("dpkg -s systemd | grep Status") == "Status: install ok installed"


def test_ssh_takes_the_key_and_nothing_else(device: Guest) -> None:
    who = device.ssh("id -un; sudo -n id -un")
    assert who.stdout.split() == ["admin", "root"]
    assert device.ssh("id -u; sudo -n id -un", user="anna").stdout.split() == ["1501", "root"]
    methods = device.ssh("-o", "PubkeyAuthentication=no", "-v", "true")
    assert methods.returncode == 255
    assert "Permission denied (publickey)" in methods.stderr
    refused = device.ssh("true", user="root")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr
    # Root has no password, here as on the console; nor has anybody.
    assert device.run("cut -d: -f2 /etc/shadow | sort -u | tr -d '*!'") == ""


def test_locale_time_zone_and_watchdog_are_as_the_stages_say(device: Guest) -> None:
    assert device.ssh("locale").stdout.splitlines()[0] == "LANG=de_AT.UTF-8"
    assert device.ssh("LC_ALL=de_AT.UTF-8 date -d 2026-05-01 +%B").stdout == "Mai\n"
    assert device.run("readlink /etc/localtime; date +%Z").splitlines()[0].endswith("/Europe/Vienna")
    assert device.run("date -d '2026-07-01 12:00' +%Z") == "CEST"
    assert device.run("systemctl show -P RuntimeWatchdogUSec -P WatchdogDevice").split() == ["/dev/watchdog0", "13s"]
    assert "i6300ESB" in device.run("wdctl 2>/dev/null")
    assert device.run("systemctl is-active watchdog ssh pulse") == "active\nactive\nactive"
    assert device.run("cat /etc/motd").startswith("Welcome to the nest")


def test_node_exporter_answers_the_machine_itself_and_no_strangers(device: Guest) -> None:
    told = device.run(
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://localhost:9100/metrics\").read().decode())'"
    )
    assert "\nnode_load1 " in told
    assert 'node_systemd_unit_state{name="ovenbird-agent.service",state="active"' in told
    assert "node_zfs" not in told
    allowed = device.run("systemctl show -P IPAddressAllow -P IPAddressDeny prometheus-node-exporter").splitlines()
    assert "192.168.0.0/16" in allowed[0].split()
    assert set(allowed[1].split()) == {"0.0.0.0/0", "::/0"}


def test_the_agent_is_small_and_comes_back(device: Guest) -> None:
    before = device.run("systemctl show -P MainPID ovenbird-agent")
    resident = int(device.run(f"awk '/^VmRSS/ {{ print $2 }}' /proc/{before}/status"))
    print(f"agent: {resident / 1024:.1f} MiB resident")
    assert resident < 40 * 1024
    assert device.run(f"stat -c %U /proc/{before}") == "ovenbird"
    device.run(f"kill -9 {before}")

    def another() -> str | None:
        now = device.run("systemctl show -P MainPID ovenbird-agent")
        return now if now not in ("0", before) else None

    wait(another, PATIENCE)
    wait(lambda: device.run("systemctl is-active ovenbird-agent || true") == "active", PATIENCE)
    assert device.overview()["boot"]["ready_s"] is not None


def test_https_shows_the_devices_own_certificate_and_nobody_reads_its_key(device: Guest) -> None:
    shown = "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    before = device.run(shown).rpartition("=")[2].replace(":", "").lower()
    told = device.health()["tls"]
    assert (told["certificate"], told["fingerprint"], told["trouble"]) == ("own", before, "")
    assert device.run("stat -c '%a %U %G' /data/ovenbird/tls /data/ovenbird/tls/own.json") == (
        "700 root root\n600 root root"
    )
    assert device.run("stat -c '%a %U %G' /run/ovenbird/tls /run/ovenbird/tls/own.json") == (
        "750 root ovenbird\n640 root ovenbird"
    )
    for user, file in (("admin", "/run/ovenbird/tls/own.json"), ("ovenbird", "/data/ovenbird/tls/own.json")):
        assert device.run(f"sudo -u {user} cat {file} 2>/dev/null || echo kept from {user}") == f"kept from {user}"
    assert "PRIVATE KEY" not in device.run("journalctl --no-pager -b")


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_what_is_the_devices(device: Guest) -> None:
    before = identity(device)
    device.run("""
        echo kept >/etc/own; echo word=changed >/etc/myapp/myapp.conf; echo kept >/var/lib/own
        echo kept >/home/admin/own; echo kept >/root/own; echo gone >/var/log/own; echo gone >/tmp/own
    """)
    answer = device.ask("POST", "/reboot", password(device))
    assert (answer.status, answer.json()) == (202, {"accepted": "reboot"})
    begin = len(device.machine.console)
    about = device.wait_for_boot()
    assert about["etc"] == "kept"
    assert about["data"]["state"] == "ok"
    assert shown_passwords(device.machine.console[begin:]) == []
    assert identity(device) == before
    kept = "cat /etc/own /var/lib/own /home/admin/own /root/own; ls /var/log/own /tmp/own 2>/dev/null || true"
    assert device.run(kept) == "kept\nkept\nkept\nkept"
    assert device.run("cat /srv/pulse/records") == "seeded\nbeat\nchanged"
    assert device.run("systemctl --failed --no-legend") == ""


def test_a_power_cut_costs_nothing_that_was_flushed(device: Guest) -> None:
    before = identity(device)
    device.run("echo flushed >/etc/flushed; echo flushed >/var/lib/flushed; sync; echo late >/var/lib/late")
    device.machine.power_cut()
    about = device.power_on()
    assert "is being checked" in device.machine.console
    assert about["data"]["state"] in ("ok", "repaired")
    assert about["etc"] == "kept"
    assert identity(device) == before
    assert device.run("cat /etc/flushed /var/lib/flushed") == "flushed\nflushed"
    assert device.run("systemctl --failed --no-legend") == ""


# --- broken data ------------------------------------------------------------------------------------------------------


def test_data_that_cannot_be_read_degrades_and_is_left_alone(device: Guest) -> None:
    answer = device.ask("POST", "/poweroff", password(device))
    assert answer.status == 202
    assert device.machine.wait_off(PATIENCE)
    device.machine.power_cut()
    # Noise over the beginning of data and over every backup of its superblock: nothing to repair it from.
    places = [0, *(group * 128 * MIB for group in (1, 3, 5, 7))]
    saved = {place: device.read(place, MIB) for place in places}
    for place in places:
        device.write(place, b"\xa5\x5a" * (MIB // 2))

    about = device.power_on()
    assert about["data"]["state"] == "degraded"
    assert "e2fsck" in about["data"]["reason"]
    assert about["data"]["total"] < 1 << 30  # memory
    health = device.health()
    assert (health["status"], health["data"]["reason"]) == ("degraded", about["data"]["reason"])
    assert "The data partition cannot be used" in device.machine.console
    # Still reachable: with a password of this boot's own, shown on the console, and by the same SSH keys.
    old, temporary = password(device), set(shown_passwords(device.machine.console))
    assert len(temporary) == 1
    assert old not in temporary
    assert device.run("systemctl --failed --no-legend") == ""
    assert device.run("cat /srv/pulse/records") == "seeded\nbeat"
    device.run("echo works >/etc/x; echo works >/var/lib/x; echo works >/home/admin/x")
    assert device.ask("POST", "/poweroff", old).status == 401
    assert device.ask("POST", "/poweroff", temporary.pop()).status == 202
    assert device.machine.wait_off(PATIENCE)
    device.machine.power_cut()
    for place in places:
        assert device.read(place, MIB) == b"\xa5\x5a" * (MIB // 2), "a damaged partition was written to"
        device.write(place, saved[place])

    about = device.power_on()
    assert about["data"]["state"] in ("ok", "repaired")
    assert about["etc"] == "kept"
    assert device.run("cat /etc/own /etc/flushed") == "kept\nflushed"
    assert device.run("ls /etc/x 2>/dev/null || true") == ""
    assert device.ask("POST", "/reboot", "wrong-guess-again").status == 401


def test_damage_that_can_be_repaired_is(device: Guest) -> None:
    before = identity(device)
    device.run("echo lost >/var/lib/lost; echo stays >/var/lib/stays")
    device.power_off()
    # A file's inode wiped, another's count of links wrong, and the note that a kernel leaves when it sees an error.
    device.debugfs("clri /var/lib/lost", "sif /var/lib/stays links_count 7", "ssv state 2")
    about = device.power_on()
    assert about["data"]["state"] == "repaired"
    assert about["etc"] == "kept"
    assert identity(device) == before
    assert device.run("cat /var/lib/stays; stat -c %h /var/lib/stays") == "stays\n1"
    assert device.run("ls /var/lib/lost 2>/dev/null || true") == ""
