"""Clients that have booted are asked how they are: the real agent answers, on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import Maker, lab

from ovenbird.deliver.serve.live import Client, Clients, Stage
from ovenbird.deliver.serve.polling import Polling, neighbours

MAC = "52:54:00:aa:00:01"


def seen(clients: Clients, good: Callable[[Client], bool]) -> Client:
    """Wait until the client is so."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        (client,) = clients.all(time.time())
        if good(client):
            return client
        time.sleep(0.1)
    raise AssertionError(clients.all(time.time()))


def test_what_a_client_runs_and_how_it_is(tmp_path: Path, maker: Maker) -> None:
    """From the moment that its page answers; one that starts again is not taken for the system from before."""
    with lab(tmp_path / "device", maker) as device:
        device.health("committed")
        clients = Clients()
        clients.saw(time.time(), mac=MAC, address="127.0.0.1", stage=Stage.STARTING, image="hello", version="1.0.0")
        polling = Polling(clients, "lo", every=0.2, port=device.port)
        polling.start()
        try:
            client = seen(clients, lambda one: one.stage == Stage.RUNNING)
            assert (client.running_image, client.running_version) == ("hello", "1.0.0")
            assert client.current
            assert client.health
            clients.saw(time.time(), mac=MAC, address="127.0.0.1", stage=Stage.FIRMWARE)
            time.sleep(1)
            assert clients.all(time.time())[0].stage == Stage.FIRMWARE
        finally:
            polling.stop()


def test_an_interface_without_neighbours() -> None:
    """Nobody is there, and nothing is wrong."""
    assert isinstance(neighbours("lo"), dict)
    assert neighbours("nowhere0") == {}
