"""A boot server out of a workstation: menus, roots and overlays for machines without a disk, and who they are.

`server.py` puts the room's parts together: `dnsmasq.py` answers the firmware (DHCP, TFTP), `app.py` the boot programs
and the initrd (HTTP), `choice.py` says what is whose, `images.py` keeps what there is to boot, `live.py` who was seen.
"""
