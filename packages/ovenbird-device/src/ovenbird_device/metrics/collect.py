"""What Prometheus gets: the machine under the names that node_exporter gave them (so that dashboards know them), and
Ovenbird's own: image, slot, trial, data, the last update, the apps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..facts.overview import Overview
from ..fan.state import STATES as FAN_STATES
from ..fan.state import FanFacts
from ..history.counters import Counters, Traffic
from ..services.unit import Service
from ..update.record import Last
from .text import Exposition

_STATES = ("running", "starting", "stopping", "stopped", "failed", "restarting", "finished")
_OUTCOMES = ("armed", "failed", "committed", "rolled-back")


class Facts(msgspec.Struct, frozen=True):
    """All that is told."""

    about: Overview
    counted: Counters
    healthy: bool
    last: Last | None
    apps: Sequence[Service]
    readers: int
    """Who follows the log."""


def render(facts: Facts) -> str:
    """The text."""
    out = Exposition()
    _machine(out, facts.about, facts.counted)
    _ovenbird(out, facts)
    if facts.about.fan is not None:
        _fan(out, facts.about.fan)
    _apps(out, facts.apps)
    return out.text()


def _machine(out: Exposition, about: Overview, counted: Counters) -> None:
    out.one("node_time_seconds", "gauge", "The device's clock, seconds since 1970.", round(time.time(), 3))
    out.one(
        "node_boot_time_seconds",
        "gauge",
        "When the kernel started, by that clock.",
        round(time.time() - about.uptime_s),
    )
    for minutes, load in zip(("1", "5", "15"), about.load, strict=True):
        out.one(f"node_load{minutes}", "gauge", f"Load over {minutes} min.", load)
    cpu = [({"cpu": "all", "mode": mode}, seconds) for mode, seconds in counted.cpu.items()]
    out.add("node_cpu_seconds_total", "counter", "Seconds of all cores by mode.", cpu)
    out.one("node_memory_MemTotal_bytes", "gauge", "Memory.", about.memory.total)
    out.one("node_memory_MemAvailable_bytes", "gauge", "Memory that programs could have.", about.memory.available)
    data = {"mountpoint": "/data"}
    out.add("node_filesystem_size_bytes", "gauge", "Size of data.", [(data, about.data.total)])
    out.add("node_filesystem_avail_bytes", "gauge", "Room on data.", [(data, about.data.available)])
    heat = [({"sensor": one.name}, one.celsius) for one in about.temperatures]
    out.add("node_hwmon_temp_celsius", "gauge", "Temperature of each sensor.", heat)
    out.add("node_disk_read_bytes_total", "counter", "Bytes read.", _traffic(counted.disks, written=False))
    out.add("node_disk_written_bytes_total", "counter", "Bytes written.", _traffic(counted.disks, written=True))
    out.add("node_network_receive_bytes_total", "counter", "Bytes in.", _traffic(counted.networks, written=False))
    out.add("node_network_transmit_bytes_total", "counter", "Bytes out.", _traffic(counted.networks, written=True))


def _traffic(by_name: Mapping[str, Traffic], *, written: bool) -> Iterable[tuple[Mapping[str, str], int]]:
    for name, traffic in by_name.items():
        yield {"device": name}, traffic.written if written else traffic.read


def _ovenbird(out: Exposition, facts: Facts) -> None:
    about = facts.about
    image = {"name": about.image.name, "version": about.image.version, "board": about.image.board, "model": about.model}
    out.add("ovenbird_image_info", "gauge", "The image that runs.", [(image, 1)])
    out.add(
        "ovenbird_slot_running",
        "gauge",
        "Whether this slot runs.",
        [({"slot": slot}, int(slot == about.slot)) for slot in ("a", "b")] if about.slot else [],
    )
    out.one("ovenbird_trial", "gauge", "Whether this boot is a trial.", int(about.trial))
    out.one("ovenbird_healthy", "gauge", "Whether health finds everything well.", int(facts.healthy))
    states = [({"state": state}, int(about.data.state == state)) for state in ("ok", "repaired", "degraded")]
    out.add("ovenbird_data_state", "gauge", "How data came up in this boot.", states)
    out.one("ovenbird_boot_ready_seconds", "gauge", "From the kernel's start to the first answer.", about.boot.ready_s)
    out.one("ovenbird_log_readers", "gauge", "Who follows the log now.", facts.readers)
    if facts.last is not None:
        last = facts.last
        results = [
            ({"outcome": one, "slot": last.slot, "version": last.version}, int(last.outcome == one))
            for one in _OUTCOMES
        ]
        out.add("ovenbird_update_last", "gauge", "How the last update went.", results)
        out.one("ovenbird_update_last_seconds", "gauge", "When the last update ended.", last.ended)


def _fan(out: Exposition, fan: FanFacts) -> None:
    states = [({"state": state}, int(fan.state == state)) for state in FAN_STATES]
    out.add("ovenbird_fan_state", "gauge", "Who controls the fan; failsafe and silent want somebody to look.", states)
    driven = {"kind": fan.kind, "output": fan.output}
    speed = None if fan.speed is None else fan.speed / 100
    out.add("ovenbird_fan_speed_ratio", "gauge", "The fan's speed, of the fastest.", [(driven, speed)])
    out.add("ovenbird_fan_rpm", "gauge", "Turns a minute, where something counts them.", [(driven, fan.rpm)])
    out.one("ovenbird_fan_level_celsius", "gauge", "The temperature that the speed belongs to.", fan.level)
    heat = [({"sensor": one.name}, one.celsius) for one in fan.sensors]
    out.add(
        "ovenbird_fan_sensor_celsius", "gauge", "The temperatures that count; none for one that is unreadable.", heat
    )


def _apps(out: Exposition, apps: Sequence[Service]) -> None:
    def each(values: Iterable[float | int | None]) -> Iterable[tuple[Mapping[str, str], float | int | None]]:
        return zip(({"app": one.name} for one in apps), values, strict=True)

    states = [({"app": one.name, "state": state}, int(one.state == state)) for one in apps for state in _STATES]
    out.add("ovenbird_app_state", "gauge", "The state that each app is in.", states)
    out.add(
        "ovenbird_app_restarts_total", "counter", "How often systemd started it again.", each(a.restarts for a in apps)
    )
    out.add("ovenbird_app_memory_bytes", "gauge", "Memory of the app.", each(one.memory for one in apps))
    out.add("ovenbird_app_cpu_seconds_total", "counter", "Seconds of one core.", each(one.cpu_s for one in apps))
