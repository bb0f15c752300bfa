"""Whether an image can be what its card would ask of it: said before anything is written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.disks import make_disk
from tests.tool import Tool
from tests.unit.read.images import squash

from ovenbird.deliver.flash.fitting import check_fits, locale_folders
from ovenbird.errors import UsageError
from ovenbird_device.format import apps, personal

AGENT = "usr/lib/ovenbird/ovenbird_device/personal/__main__.py"
KEEPER = apps.App("keeper", "binary", apps.unit_name("keeper"), secrets=("token",))
FILES = {
    AGENT: "",
    "usr/lib/systemd/system/ovenbird-wifi@.service": "",
    "usr/share/zoneinfo/Europe/Vienna": "",
    "usr/share/zoneinfo/Europe/Berlin": "",
    "usr/lib/locale/de_AT.utf8/LC_TIME": "",
    "usr/sbin/sshd": "",
    apps.PATH: apps.dump(apps.Apps((KEEPER,))).decode(),
}
WIFI = personal.Wifi(country="AT", networks=(personal.WifiNetwork(ssid="Nest", secret="00" * 32),))
ACCOUNT = personal.Account(name="otto", keys=("ssh-ed25519 AAAA otto",))
ALL = personal.Personal(
    hostname="kitchen", timezone="Europe/Vienna", locale="de_AT.UTF-8", wifi=WIFI, account=ACCOUNT,
    secrets={"keeper": {"token": "c2VjcmV0"}},
)  # fmt: skip


def image(folder: Path, *, without: str = "") -> Path:
    """A disk whose root has all of FILES but what begins so."""
    for name, content in FILES.items():
        if not without or not name.startswith(without):
            file = folder / "tree" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    return make_disk(folder, root=squash(folder / "tree", folder / "packed"))


def test_all_that_is_there_is_taken(tmp_path: Path) -> None:
    check_fits(image(tmp_path), ALL)


@pytest.mark.parametrize(
    ("without", "said", "hint"),
    [
        (AGENT, "from before cards could be personal", "build it again"),
        ("usr/lib/systemd", "no Wi-Fi", 'the stage "wifi"'),
        ("usr/share/zoneinfo", "no time zone Europe/Vienna", 'the stage "os"'),
        ("usr/share/zoneinfo/Europe/Vienna", "no time zone Europe/Vienna", "Europe/"),
        ("usr/lib/locale", "no locale de_AT.UTF-8", 'use = "os"'),
        ("usr/sbin", "no SSH server", 'the stage "ssh"'),
        (apps.PATH, 'no app "keeper"', "it has none"),
    ],
)
def test_what_is_missing_is_named_with_what_brings_it(tmp_path: Path, without: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        check_fits(image(tmp_path, without=without), ALL)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("secrets", "said", "hint"),
    [
        ({"keeper": {"tokn": "eA=="}}, 'the app keeper has no secret "tokn"', "token"),
        ({"keper": {"token": "eA=="}}, 'no app "keper"', "keeper"),
    ],
)
def test_a_secret_that_nobody_asks_for(
    tmp_path: Path, secrets: dict[str, dict[str, str]], said: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        check_fits(image(tmp_path), personal.Personal(secrets=secrets))
    assert hint in (caught.value.hint or "")


def test_nothing_is_written_for_an_image_that_does_not_fit(tool: Tool, tmp_path: Path) -> None:
    disk = image(tmp_path, without="usr/sbin")
    key = tmp_path / "id.pub"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.with_suffix("")], check=True)
    done = tool.run("flash", disk, "--to", tmp_path / "card.img", "--user", "otto", "--key", key)
    assert done.code == 2, done.err
    assert "this image has no SSH server for the keys" in done.err
    assert 'add the stage "ssh"' in done.err
    assert not (tmp_path / "card.img").exists()


@pytest.mark.parametrize("asked", ["de_AT.UTF-8", "de_AT.utf8", "ca_ES.UTF-8@valencia"])
def test_a_locale_is_found_as_glibc_names_it(asked: str) -> None:
    plain = asked.replace("UTF-8", "utf8")
    assert f"usr/lib/locale/{plain}" in locale_folders(asked)
