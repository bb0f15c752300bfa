"""The signature beside an overlay from the network: over its sum and its name, by somebody whom the image trusts."""

from __future__ import annotations

from pathlib import Path

from ovenbird_device.format import settings
from ovenbird_device.update import overlay

from .conftest import Owner

SUM = "5" * 64


def test_only_what_the_image_trusts_holds(us: Owner, stranger: Owner, tmp_path: Path) -> None:
    trusted = tmp_path / "update.json"
    trusted.write_bytes(settings.dump(settings.UpdateSettings(certificates=(us.pem,))))
    file = tmp_path / "kiosk.sig"

    def judge(who: Owner, line: str) -> str:
        file.write_bytes(who.sign(line.encode()))
        return overlay.judge(SUM, "kiosk.tar.gz", file, trusted)

    assert judge(us, f"{SUM}  kiosk.tar.gz\n") == "good"
    assert judge(stranger, f"{SUM}  kiosk.tar.gz\n") != "good"
    assert judge(us, f"{SUM}  other.tar.gz\n") != "good"
    assert judge(us, f"{'6' * 64}  kiosk.tar.gz\n") != "good"
    file.write_bytes(b"nonsense")
    said = overlay.judge(SUM, "kiosk.tar.gz", file, trusted)
    assert said.endswith(".")
    assert "\n" not in said
    file.unlink()
    assert overlay.judge(SUM, "kiosk.tar.gz", file, trusted).startswith("It cannot be judged")
