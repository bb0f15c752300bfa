"""`examples/pi`, built as its head says: one good version, a better one, and one whose health never holds."""

from __future__ import annotations

import shutil

from tests.examples import EXAMPLES
from tests.tool import OUTPUT, RECIPES, Tool, one_at_a_time
from tests.vm.updating import Images

VERSIONS = {"1.0.0": ("true", "300s"), "1.1.0": ("true", "300s"), "1.2.0": ("false", "100s")}
"""Each with the command that its health asks, and how long it has to hold: the bad one is waited for."""
HELLO = "../hello/ovenbird.toml"
MORE = """
deadline = "{}"

[[health]]
name = "song"
command = "{}"
"""


def build_example(tool: Tool) -> Images:
    """Every version. Kept between runs, and made once where several ask."""
    folder = OUTPUT / "pi"
    environment = {"OVENBIRD_KEYS": str(folder / "own"), "XDG_CONFIG_HOME": str(folder / "config")}
    with one_at_a_time(folder / "lock"):
        if not (folder / "keys/pi.pem").is_file():
            done = tool.run("keys", "new", "--to", folder / "keys", "pi", env=environment)
            assert done.code == 0, done.err
        for version, (command, deadline) in VERSIONS.items():
            copy = folder / version
            (copy / "keys").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "keys/pi.pem", copy / "keys")
            text = (EXAMPLES / "pi/ovenbird.toml").read_text()
            assert HELLO in text
            text = text.replace(f'"{HELLO}"', f'"{EXAMPLES}/hello/ovenbird.toml", "{RECIPES}/emulated.toml"')
            (copy / "ovenbird.toml").write_text(
                text.replace('"1.0.0"', f'"{version}"') + MORE.format(deadline, command)
            )
            tool.build(copy, "--bundle", env=environment)
    return Images(folder, environment, "pi")
