"""Prints what `ovenbird_device.app` knows of its device, a JSON object in a line."""

import json

from ovenbird_device import app

app.dont_start_on_boot()
app.notify_ready()
facts = {
    "model": app.model(),
    "private": app.private_addresses(),
    "public": app.public_addresses(),
    "clock": app.wait_for_clock(timeout=0),
    "neighbour": app.is_private("192.168.1.7"),
    "stranger": app.is_private("8.8.8.8"),
}
print(json.dumps(facts), flush=True)
raise SystemExit(app.STAY_DOWN)
