"""The live list: what a client is after what was seen of it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ovenbird.deliver.serve.live import SILENT, Clients, Stage

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


def test_a_boot_from_its_first_packet_to_its_health(tmp_path: Path) -> None:
    """TFTP knows only its address, its menu tells whose that is; the list outlives the server."""
    clients = Clients(tmp_path / "clients.json")
    clients.saw(1, mac=MAC, stage=Stage.FIRMWARE)
    clients.saw(2, address="10.0.0.5")
    clients.saw(3, mac=MAC, address="10.0.0.5", stage=Stage.MENU, name="desk", image="thin", version="1", size=100)
    clients.saw(4, address="10.0.0.5", stage=Stage.ROOT, sent=50)
    (one,) = clients.all(5)
    assert (one.name, one.stage, one.percent, one.address, one.first_seen) == ("desk", Stage.ROOT, 50, "10.0.0.5", 1)
    clients.saw(
        6, mac=MAC, address="10.0.0.9", stage=Stage.RUNNING, running_image="thin", running_version="1", health="ok"
    )
    clients.save()
    again = Clients(tmp_path / "clients.json")
    (one,) = again.all(7)
    assert (one.stage, one.address, one.health, one.current) == (Stage.RUNNING, "10.0.0.9", "ok", True)
    assert again.all(7 + SILENT)[0].stage == Stage.SILENT


def test_an_address_has_one_owner() -> None:
    """The one that was told last."""
    clients = Clients()
    clients.saw(1, mac=MAC, address="10.0.0.5")
    clients.saw(2, mac=OTHER, address="10.0.0.5")
    clients.saw(3, address="10.0.0.5", sent=7)
    assert {one.mac: (one.address, one.sent) for one in clients.all(4)} == {MAC: ("", 0), OTHER: ("10.0.0.5", 7)}


def test_a_list_that_is_damaged_fills_again(tmp_path: Path) -> None:
    """Nobody is bothered with it."""
    (tmp_path / "clients.json").write_text("[{")
    assert Clients(tmp_path / "clients.json").all(0) == []


SIGHT = st.tuples(
    st.sampled_from(["", MAC, OTHER]), st.sampled_from(["", "10.0.0.5", "10.0.0.6"]), st.sampled_from(Stage)
)


@given(st.lists(SIGHT, max_size=30))
def test_nobody_is_listed_twice(sights: list[tuple[str, str, Stage]]) -> None:
    """In whatever order things are seen."""
    clients = Clients()
    for at, (mac, address, stage) in enumerate(sights):
        if mac or address:
            seen = clients.saw(at, mac=mac, address=address, stage=stage)
            assert seen.stage == stage
            assert not address or seen.address == address
    found = clients.all(0)
    assert len({one.mac for one in found if one.mac}) == sum(1 for one in found if one.mac)
    addresses = [one.address for one in found if one.address]
    assert len(set(addresses)) == len(addresses)
    assert all(one.key == (one.mac or one.address) for one in found)
