"""Apps of every kind on one device, with some of the worst beside them: what they do, and what the device says of it.

The tests share one machine, in this order; each leaves its apps as they were. The apps that behave are those of the
examples, see `recipes/apps`.
"""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tool import Tool
from tests.vm.apps import (
    becomes,
    change,
    count_to,
    hear,
    lay_out_draft,
    lines,
    order,
    properties,
    resident,
    run,
    service,
    silent,
    target,
)
from tests.vm.guest import PATIENCE, Guest, guest, wait
from tests.vm.listening import listening

pytestmark = pytest.mark.vm

PASSWORD, CHOSEN = "tobak-mirun-depol", "another word for it"
ANSWERS = {
    8000: "Hello from the nest, visitor ",
    8001: "Hello from server, on a device",
    8002: "<title>Talks - The Go Programming Language</title>",
    8003: "Hello from one static binary",
    8004: "Hello from one static binary",
    8005: "packed",
}
MIB = 1 << 20
LOG_LIMIT = 16 * MIB  # as the recipe says


@pytest.fixture(scope="module")
def device(apps: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device after its first boot."""
    with guest(apps, tmp_path_factory.mktemp("apps"), password=PASSWORD, key=key, ports=list(ANSWERS)) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Mapping[str, str]:
    """Where the tool remembers what it learns of devices."""
    return {"XDG_CONFIG_HOME": str(tmp_path)}


# --- those that behave ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ANSWERS)
def test_each_kind_of_app_answers_on_its_port(device: Guest, port: int) -> None:
    def answered() -> str | None:
        try:
            answer = device.ask("GET", "/", port=port, timeout=10)
        except OSError:
            return None
        return answer.text if answer.status == 200 else None

    assert ANSWERS[port] in wait(answered, PATIENCE)


def test_the_boot_is_well_with_all_of_them(device: Guest) -> None:
    """What is said of the checks is how they stood when the boot was judged; some apps take longer."""

    def judged() -> Any:  # noqa: ANN401  # The device's JSON.
        health = device.health()
        return health if health["system"] and health["system"]["state"] == "good" else None

    checks = {check["name"]: check["state"] for check in wait(judged, PATIENCE, 2.0)["checks"]}
    assert {f"{app}: page" for app in ("page", "server", "present", "tiny", "web")} <= checks.keys()
    assert checks["tiny: page"] == "ok"


def test_services_tell_what_systemd_knows(device: Guest) -> None:
    for name in ("page", "server", "present", "tiny", "web"):
        becomes(device, name, "running")
    told = {app["name"]: app for app in device.ask("GET", "/services", device.password).json()["apps"]}
    assert {name: app["kind"] for name, app in told.items() if app["state"] == "running"} == {
        "page": "python", "draft": "python", "server": "go", "present": "go", "tiny": "binary", "web": "container",
    }  # fmt: skip
    for name in ("page", "tiny", "web"):
        known = properties(device, f"app-{name}.service", "MainPID", "NRestarts", "MemoryMax")
        assert told[name]["pid"] == int(known["MainPID"])
        assert told[name]["restarts"] == int(known["NRestarts"]) == 0
        assert 0 < told[name]["memory"] <= int(known["MemoryMax"])
    assert told["web"]["ports"] == ["8004:80/tcp"]
    assert told["page"]["last_line"]
    for name, code in (("enough", "code 125"), ("curious", "code 125"), ("crash", ""), ("secretive", "")):
        assert (told[name]["state"], told[name]["exit"], told[name]["restarts"]) == ("stopped", code, 0)
    # Without the password there is all but what they say.
    public = device.ask("GET", "/services").json()["apps"]
    assert [app["name"] for app in public] == list(told)
    assert not any(app["last_line"] for app in public)
    units = {unit["name"] for unit in device.ask("GET", "/services?all=1").json()["units"]}
    assert {"ssh", "ovenbird-agent", "systemd-journald"} <= units


def test_users_and_folders_of_apps(device: Guest) -> None:
    assert device.run("stat -c '%U %a' /data/apps/page /data/apps/server") == "app-page 700\napp-server 700"
    shown = device.run("ps -o user= -C tiny; cat /proc/$(systemctl show -P MainPID app-tiny)/status")
    assert shown.startswith("app-tiny")
    assert "CapEff:\t0000000000000000" in shown
    # The container's root is nobody outside.
    assert int(device.run("pid=$(podman inspect -f '{{.State.Pid}}' web); stat -c %u /proc/$pid")) > 1 << 16


# --- what the device tells about itself ---


def test_the_agent_reads_the_journal_within_its_bounds(device: Guest) -> None:
    groups = device.run("getent group systemd-journal ovenbird | cut -d: -f3").split()
    pid = properties(device, "ovenbird-agent.service", "MainPID")["MainPID"]
    status = dict(line.split(":\t", 1) for line in device.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
    assert sorted(status["Groups"].split()) == sorted(groups)
    assert status["Uid"].split()[0] != "0"
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert int(status["CapEff"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    assert device.ask("GET", "/logs").status == 401
    page = device.ask("GET", "/logs?lines=300", device.password).json()
    assert {"kernel", "systemd"} <= {line["source"] for line in page["lines"]} or page["more"]
    assert "listening on port 8003" in lines(device, "tiny")
    assert any("Uvicorn running on" in line for line in lines(device, "page"))


def test_metrics_status_and_history(device: Guest) -> None:
    metrics = device.ask("GET", "/metrics", device.password).text
    assert 'ovenbird_app_state{app="page",state="running"} 1\n' in metrics
    assert 'ovenbird_app_state{app="page",state="failed"} 0\n' in metrics
    assert 'ovenbird_app_state{app="crash",state="stopped"} 1\n' in metrics
    assert 'ovenbird_slot_running{slot="a"} 1\n' in metrics
    memory = re.search(r"^node_memory_MemTotal_bytes (\d+)$", metrics, re.MULTILINE)
    assert memory is not None
    assert int(memory[1]) == 1024 * int(device.run("awk '/^MemTotal/ { print $2 }' /proc/meminfo"))
    status = device.ask("GET", "/status").json()
    assert (status["name"], status["version"], status["slot"]) == ("apps", "1.0.0", "a")
    assert status["boot_id"] == device.run("cat /proc/sys/kernel/random/boot_id")

    def sampled() -> Any:  # noqa: ANN401  # The device's JSON.
        history = device.ask("GET", "/history", device.password).json()
        return history if len(history["series"][0]["values"]) > 1 else None

    history = wait(sampled, PATIENCE, 2.0)
    series = {one["name"]: one["values"][-1] for one in history["series"]}
    assert 0 <= series["cpu"] <= 1
    assert 100 * MIB < series["memory"] < history["memory_total"] == int(memory[1])
    assert 0 < series["data"] < history["data_total"]


# --- orders -----------------------------------------------------------------------------------------------------------


def test_the_tool_shows_and_orders_apps(tool: Tool, device: Guest, home: Mapping[str, str]) -> None:
    where = target(device)
    shown = run(tool, home, "status", where)
    assert (shown.code, "apps" in shown.out, "ok" in shown.out) == (0, True, True), shown
    shown = run(tool, home, "services", where, "--json")
    assert shown.code == 0, shown
    before = service(device, "page")
    assert f'"pid":{before["pid"]}' in shown.out.replace(" ", "")
    visitors = int(device.ask("GET", "/", port=8000).text.split()[-1])
    done = run(tool, home, "restart", where, "page")
    assert (done.code, "page is running" in done.out) == (0, True), done
    assert service(device, "page")["pid"] != before["pid"]
    answered = wait(lambda: silent(device, 8000), PATIENCE)
    assert int(answered.split()[-1]) > visitors, "its state outlives a restart"
    for verb, state in (("stop", "stopped"), ("start", "running")):
        done = run(tool, home, verb, where, "tiny")
        assert (done.code, f"tiny is {state}" in done.out) == (0, True), done
        assert service(device, "tiny")["state"] == state
    done = run(tool, home, "logs", where, "--app", "tiny", "--lines", "50")
    assert done.code == 0, done
    assert done.out.count("listening on port 8003") == 2
    done = run(tool, home, "stop", where, "ovenbird-agent")
    assert done.code != 0
    assert "Traceback" not in done.err
    done = run(tool, home, "start", where, "nothing-of-that-name")
    assert done.code != 0
    assert "Traceback" not in done.err


def test_the_tool_s_shell(tool: Tool, device: Guest, home: Mapping[str, str], key: Path) -> None:
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", f"IdentityFile={key}")
    words = [word for option in options for word in ("-o", option)]
    port = str(device.machine.port(22))
    done = run(tool, home, "ssh", "-p", port, "-l", "admin", *words, target(device), "cat", "/etc/hostname")
    assert (done.code, done.out) == (0, "apps\n"), done


# --- those that do not behave -----------------------------------------------------------------------------------------


def test_an_app_is_kept_within_its_bounds(device: Guest) -> None:
    order(device, "prisoner", "start")
    wait(lambda: "done" in lines(device, "prisoner"), PATIENCE, 1.0)
    assert lines(device, "prisoner") == ["done"], "each other line is a way out"


def test_what_an_app_may_ask_of_its_device(device: Guest) -> None:
    order(device, "curious", "start")
    [told] = wait(lambda: lines(device, "curious"), PATIENCE, 1.0)
    facts = json.loads(told)
    assert facts["model"] == device.overview()["model"]
    assert "10.0.2.15" in facts["private"]
    assert (facts["clock"], facts["neighbour"], facts["stranger"]) == (True, True, False)
    assert becomes(device, "curious", "stopped")["exit"] == "code 125"


def test_an_app_that_crashes_is_started_again_and_again(tool: Tool, device: Guest, home: Mapping[str, str]) -> None:
    done = run(tool, home, "start", target(device), "crash")
    assert done.code == 1
    assert "crash failed (code 3)" in done.err
    wait(lambda: service(device, "crash")["restarts"] >= 3, PATIENCE, 1.0)
    told = becomes(device, "crash", "restarting")
    assert told["exit"] == "code 3"
    known = int(properties(device, "app-crash.service", "NRestarts")["NRestarts"])
    metrics = device.ask("GET", "/metrics", device.password).text
    counted = re.search(r'^ovenbird_app_restarts_total\{app="crash"\} (\d+)$', metrics, re.MULTILINE)
    assert counted is not None
    assert int(counted[1]) >= known - 1 > 0
    delays = properties(device, "app-crash.service", "RestartUSec", "RestartUSecNext")
    assert delays["RestartUSec"] != delays["RestartUSecNext"], "the delay grows"
    order(device, "crash", "stop")
    becomes(device, "crash", "stopped", "failed")


def test_who_ignores_the_end_is_killed(tool: Tool, device: Guest, home: Mapping[str, str]) -> None:
    order(device, "stubborn", "start")
    wait(lambda: "here to stay" in lines(device, "stubborn"), PATIENCE, 1.0)
    done = run(tool, home, "stop", target(device), "stubborn")
    assert done.code == 0, done
    told = service(device, "stubborn")
    assert (told["state"], told["exit"]) == ("failed", "signal 9")
    assert lines(device, "stubborn")[-1] == "no"


def test_who_wants_too_much_memory_is_alone_with_it(device: Guest) -> None:
    order(device, "glutton", "start")
    told = becomes(device, "glutton", "failed")
    assert told["exit"] == "signal 9"
    assert service(device, "tiny")["state"] == "running"


def test_an_app_waits_for_its_secret(device: Guest) -> None:
    order(device, "secretive", "start")
    assert service(device, "secretive")["state"] == "stopped"
    device.run(
        "umask 077; mkdir -p /data/ovenbird/secrets/secretive; printf %s sesame >/data/ovenbird/secrets/secretive/token"
    )
    order(device, "secretive", "start")
    becomes(device, "secretive", "running")
    wait(lambda: "the token has 6 bytes" in lines(device, "secretive"), PATIENCE, 1.0)
    order(device, "secretive", "stop")


def test_an_app_starts_when_the_clock_is_right(device: Guest) -> None:
    order(device, "punctual", "start")
    wait(lambda: any(line.startswith("it is ") for line in lines(device, "punctual")), PATIENCE, 1.0)
    order(device, "punctual", "stop")


def test_a_program_at_each_save(tool: Tool, device: Guest, home: Mapping[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    main = lay_out_draft(folder)
    packed = main.read_text()

    def save(word: str) -> None:
        main.write_text(packed.replace("packed", word))
        begin = time.monotonic()
        wait(lambda: silent(device, 8005) == word, PATIENCE)
        print(f"{word} was there after {time.monotonic() - begin:.1f} s")

    for ending in (signal.SIGINT, signal.SIGKILL):  # The second one cannot say goodbye.
        begin, said = time.monotonic(), list[str]()
        with tool.start("dev", target(device), "draft", "--recipe", folder, env=home) as process:
            assert process.stdout
            reader = threading.Thread(target=said.extend, args=(process.stdout,))
            reader.start()
            try:
                save("first")
                print(f"that is {time.monotonic() - begin:.1f} s after the command")
                save("second")
                hear(said, "this is the second one")
            finally:
                process.send_signal(ending)
                reader.join()
        told = [line.partition(" this is ")[2].strip() for line in said if " this is " in line]
        # The journal may take the packed one's line after that one has answered already.
        assert [word for word in told if word != "the packed one"] == ["the first one", "the second one"]
        wait(lambda: silent(device, 8005) == "packed", PATIENCE)
    assert device.run("ls /data/ovenbird/dev/draft /run/systemd/system/app-draft.service.d 2>/dev/null || true") == ""
    changes = device.ask("GET", "/changes", device.password).text
    assert "Run another program in place of draft" in changes


# --- logs -------------------------------------------------------------------------------------------------------------


def test_a_hundred_readers_each_get_every_line(device: Guest) -> None:
    with listening(device, 100, "/logs", lines="0", text="hundred ") as readers:
        wait(lambda: "ovenbird_log_readers 100\n" in device.ask("GET", "/metrics", PASSWORD).text, PATIENCE, 1.0)
        device.run(count_to(20, "hundred"))
        wait(lambda: all("hundred 20" in reader.texts for reader in readers), PATIENCE, 1.0)
        said = [f"hundred {number}" for number in range(1, 21)]
        assert all([text for text in reader.texts if text.startswith("hundred ")] == said for reader in readers)
        assert resident(device) < 72 * MIB
        assert device.health()["agent"] == "up"
    wait(lambda: "ovenbird_log_readers 0\n" in device.ask("GET", "/metrics", PASSWORD).text, PATIENCE, 1.0)
    assert device.run("pgrep -c -f 'journalctl.*--output=json' || true") == "0"


def test_a_killed_agent_comes_back_and_loses_no_line(device: Guest) -> None:
    before = properties(device, "ovenbird-agent.service", "MainPID")["MainPID"]
    with listening(device, 3, "/logs", lines="1") as readers:
        wait(lambda: all(reader.lines for reader in readers), PATIENCE)
        device.run(count_to(150, "killed"))
        wait(lambda: all("killed 10" in reader.texts for reader in readers), PATIENCE)
        device.run(f"kill -9 {before}")
        wait(lambda: all("killed 150" in reader.texts for reader in readers), PATIENCE, 1.0)
        for reader in readers:
            said = [text for text in reader.texts if re.fullmatch(r"killed \d+", text)]
            assert said == [f"killed {number}" for number in range(1, 151)]
            assert reader.connected >= 2
            assert len({line["cursor"] for line in reader.lines}) == len(reader.lines), "and none twice"
    after = properties(device, "ovenbird-agent.service", "MainPID", "ActiveState")
    assert (after["ActiveState"], after["MainPID"] != before) == ("active", True)
    assert service(device, "page")["state"] == "running"


def test_a_hundred_megabytes_of_log_stay_within_the_limit(device: Guest) -> None:
    """The journal takes what it takes of such a flood, and tells how much it left out."""
    order(device, "chatter", "start")
    wait(lambda: service(device, "chatter")["exit"] == "code 0", PATIENCE, 1.0)  # known once it has ended
    assert int(device.run("du -sb /var/log/journal | cut -f1")) <= LOG_LIMIT
    assert "Suppressed" in device.run("journalctl -u systemd-journald -b --no-pager --quiet -o cat")
    page = device.ask("GET", "/services/chatter/logs?lines=1000", device.password)
    assert page.status == 200
    assert "x" * 1000 in {line["text"] for line in page.json()["lines"]}
    assert page.json()["more"], "a page of such lines has fewer than were asked for"
    assert len(page.text) < 5 * MIB
    assert resident(device) < 72 * MIB


# --- a full disk, a password, rescue ----------------------------------------------------------------------------------


def test_data_that_an_app_has_filled_leaves_the_device_usable(device: Guest) -> None:
    order(device, "hoarder", "start")
    wait(lambda: "no more room" in lines(device, "hoarder"), PATIENCE, 2.0)
    used = device.overview()["data"]
    assert used["available"] == 0, used
    assert device.health()["agent"] == "up"
    assert service(device, "tiny")["state"] == "running"
    change(device, CHOSEN)
    order(device, "hoarder", "stop")
    becomes(device, "hoarder", "stopped", "failed")
    device.run("rm /data/apps/hoarder/hoard")
    assert device.overview()["data"]["available"] > 500 * MIB


def test_rescue_reads_its_journal_and_the_tool_leads_back(tool: Tool, device: Guest, home: Mapping[str, str]) -> None:
    visitors = int(device.ask("GET", "/", port=8000).text.split()[-1])
    device.run("logger --tag leaving 'off to rescue'; journalctl --sync")
    assert device.ask("POST", "/slots/rescue", device.password).status == 202
    assert device.wait_for_boot()["slot"] == "rescue"
    device.password = PASSWORD  # Who starts the machine gives it.
    page = device.ask("GET", "/logs?lines=50", PASSWORD)
    assert page.status == 200, page
    assert any(line["unit"] == "ovenbird-agent.service" for line in page.json()["lines"])
    assert device.ask("GET", "/services", PASSWORD).json()["apps"] == []
    assert device.ask("GET", "/terminal", PASSWORD).status == 404
    assert 'ovenbird_image_info{name="apps"' in device.ask("GET", "/metrics", PASSWORD).text
    done = run(tool, home, "reboot", target(device))
    assert (done.code, "from slot a" in done.out) == (0, True), done
    device.wait_for_boot()
    wait(lambda: silent(device, 8000), PATIENCE)
    assert int(device.ask("GET", "/", port=8000).text.split()[-1]) > visitors
    assert service(device, "curious")["exit"] == "code 125", "it stays down when the boot starts it"
    assert "off to rescue" in run(tool, home, "logs", target(device), "--previous", "--text", "rescue").out
