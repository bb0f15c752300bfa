"""The personal file's Wi-Fi as wpa_supplicant.conf(5).

Texts stand as hexadecimal digits, which wpa_supplicant takes for `ssid` and `sae_password`; so no name and no
passphrase can end its line or its quotes. The key of WPA2 is 64 digits by itself, made here if the workstation left
the passphrase, as it must for WPA3.
"""

import hashlib
import re

from ..format.personal import Wifi, WifiNetwork

_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PSK = "WPA-PSK WPA-PSK-SHA256"
_ROUNDS = 4096  # IEEE 802.11, "Suggested pass-phrase-to-PSK mapping": PBKDF2 with HMAC-SHA1


def network_key(ssid: str, passphrase: str) -> str:
    """The key of a WPA2 network, 64 hexadecimal digits: it opens this network alone, and tells no passphrase."""
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid.encode(), _ROUNDS, 32).hex()


def render(given: Wifi) -> str:
    """The file's text."""
    lines = ["# Made of what this device's card was flashed with."]
    if given.country:
        lines.append(f"country={given.country}")
    # Both ways to derive the element of SAE: networks of the 6 GHz band want the newer one, old ones know the other.
    lines += ["p2p_disabled=1", "sae_pwe=2", "update_config=0"]
    for one in given.networks:
        lines += ["", "network={", *(f"\t{line}" for line in _network(one)), "}"]
    return "\n".join(lines) + "\n"


def _network(one: WifiNetwork) -> list[str]:
    lines = [f"ssid={one.ssid.encode().hex()}"]
    if one.hidden:
        lines.append("scan_ssid=1")
    key = one.secret if _KEY.fullmatch(one.secret) else ""
    if one.security in ("wpa2", "wpa2-wpa3"):
        lines.append(f"psk={key or network_key(one.ssid, one.secret)}")
    if one.security in ("wpa3", "wpa2-wpa3"):
        lines.append(f"sae_password={one.secret.encode().hex()}")
    # ieee80211w, protected management frames: WPA3 demands them, and mixed networks offer them.
    return [
        *lines,
        *{
            "wpa2": [f"key_mgmt={_PSK}", "ieee80211w=1"],
            "wpa3": ["key_mgmt=SAE", "ieee80211w=2"],
            "wpa2-wpa3": [f"key_mgmt={_PSK} SAE", "ieee80211w=1"],
            "open": ["key_mgmt=NONE"],
        }[one.security],
    ]
