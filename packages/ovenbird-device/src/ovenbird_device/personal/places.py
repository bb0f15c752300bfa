"""Where things are on a device; tests put them elsewhere."""

from pathlib import Path

import msgspec

from ..format import apps, personal, settings


class Places(msgspec.Struct, frozen=True):
    """`root` is the system's, `data` the data partition's."""

    root: Path = Path("/")
    data: Path = Path("/data")

    @property
    def file(self) -> Path:
        """The personal file."""
        return self.data / personal.IN_DATA

    @property
    def mark(self) -> Path:
        """The digest of the personal file that this slot's `/etc` knows."""
        return self.etc / "ovenbird/personal"

    @property
    def etc(self) -> Path:
        """The slot's `/etc`."""
        return self.root / "etc"

    @property
    def network(self) -> Path:
        """Settings for all interfaces of a kind; `ovenbird-network.service` puts them in force."""
        return self.etc / "ovenbird/network/all"

    @property
    def wifi(self) -> Path:
        """What wpa_supplicant is told; root's alone."""
        return self.etc / "ovenbird/wifi/wpa_supplicant.conf"

    @property
    def server(self) -> Path:
        """The update server's address."""
        return self.data / Path(settings.SERVER).relative_to("/data")

    @property
    def secrets(self) -> Path:
        """Secrets of apps."""
        return self.data / Path(apps.SECRETS).relative_to("/data")

    @property
    def banner(self) -> Path:
        """What the console shows before its login prompt."""
        return self.root / "run/issue.d/40-ovenbird-personal.issue"

    @property
    def consoles(self) -> Path:
        """The names of the active consoles."""
        return self.root / "sys/class/tty/console/active"
