"""The server as a service of systemd: a unit with no more rights than DHCP and TFTP need."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

STATE = "ovenbird-serve"


def unit(options: Sequence[str]) -> str:
    """The unit's text; `options` are those of `ovenbird serve`."""
    program = shlex.join([str(Path(sys.argv[0]).absolute()), "serve", "--state", f"/var/lib/{STATE}", *options])
    return f"""\
# /etc/systemd/system/ovenbird-serve.service
#   ovenbird serve --unit … | sudo tee /etc/systemd/system/ovenbird-serve.service
#   sudo ovenbird serve add OUT --state /var/lib/{STATE}
#   sudo systemctl enable --now ovenbird-serve
[Unit]
Description=Ovenbird boot server
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={program.replace("%", "%%")}
Restart=on-failure
RestartSec=5
StateDirectory={STATE}
CacheDirectory={STATE}
Environment=OVENBIRD_CACHE=/var/cache/{STATE} HOME=/var/lib/{STATE}
AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_NET_ADMIN
DynamicUser=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_UNIX

[Install]
WantedBy=multi-user.target
"""
