"""The step `tree`: what the recipe says of this very image, put on top of the last stage.

Names, state and network: small files that change often (a version), kept apart from all that takes long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ovenbird.boards import Board
from ovenbird.boards.board import Selector
from ovenbird.build.apps.step import lay_out_apps
from ovenbird.build.context import settle
from ovenbird.recipe.model import Health, Network, Recipe
from ovenbird_device.format import page, settings
from ovenbird_device.format.manifest import Image, dump

HOME = "usr/lib/ovenbird"
GRACE = 60
"""Seconds after a trial's deadline at which systemd restarts the machine if the judge has not."""

# os-release is a link to the distribution's own file; IMAGE_ID and IMAGE_VERSION are its standard fields for this.
# The library cache is made here, where a stage may have brought libraries, and .updated says that /etc and /var go with
# /usr (systemd-update-done(8)): otherwise each fresh slot would do this work of the build again at its first boot.
CONTAINERFILE = f"""\
COPY files/ /
RUN set -eu; \\
    sed -i '/^IMAGE_ID=/d;/^IMAGE_VERSION=/d' /usr/lib/os-release; \\
    cat /{HOME}/os-release >>/usr/lib/os-release; \\
    ldconfig; \\
    rm -f /var/cache/ldconfig/aux-cache; \\
    touch /etc/.updated /var/.updated
"""


def lay_out_tree(context: Path, files: Mapping[str, str], *, made: Mapping[str, Path], epoch: int) -> None:
    """Fill the context of the tree step: its files' texts by their paths, and the apps' folders by their names."""
    lay_out_apps(context / "files", made)
    for name, content in files.items():
        file = context / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o644)
    settle(context / "files", epoch)


def tree_files(recipe: Recipe, board: Board, *, digest: str) -> dict[str, str]:
    """The files by their path in the tree."""
    return {
        f"{HOME}/image.json": dump(image_facts(recipe, board, digest)).decode(),
        f"{HOME}/state": _state(recipe),
        "usr/lib/systemd/system/ovenbird-deadline.timer.d/deadline.conf": (
            f"[Timer]\nOnBootSec=\nOnBootSec={recipe.update.deadline + GRACE}s\n"
        ),
        f"{HOME}/os-release": f"IMAGE_ID={recipe.image.name}\nIMAGE_VERSION={recipe.image.version}\n",
        settings.PATH: settings.dump(update_settings(recipe, board)).decode(),
        # One line of two words: what the real swupdate compares bundles with.
        "etc/hwrevision": f"ovenbird {_compatible(recipe, board)[0]}\n",
        page.PATH: page.dump(page_settings(recipe)).decode(),
        "usr/lib/systemd/journald.conf.d/ovenbird.conf": journal_file(recipe),
        "etc/hostname": f"{recipe.hostname}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {recipe.hostname}\n::1 localhost ip6-localhost ip6-loopback\n",
        "usr/lib/systemd/network/80-ovenbird.network": network_file(recipe.network),
        "usr/lib/systemd/resolved.conf.d/ovenbird.conf": (
            f"[Resolve]\nMulticastDNS={_yes(recipe.network.mdns)}\nLLMNR=no\n"
        ),
    }


def image_facts(recipe: Recipe, board: Board, digest: str) -> Image:
    """What a running device, and a manifest, say of the image."""
    return Image(
        name=recipe.image.name,
        version=recipe.image.version,
        board=board.name,
        architecture=board.architecture,
        description=recipe.image.description,
        distribution=recipe.base.distribution,
        release=recipe.base.label,
        recipe=digest,
        compatible=_compatible(recipe, board),
    )


def _compatible(recipe: Recipe, board: Board) -> tuple[str, ...]:
    return recipe.update.compatible or (board.name,)


def update_settings(recipe: Recipe, board: Board) -> settings.UpdateSettings:
    """What the device is told about updates and health. Raises RecipeError for a file that is no certificate."""
    update = recipe.update
    return settings.UpdateSettings(
        certificates=_certificates(update.keys),
        compatible=_compatible(recipe, board),
        deadline_s=update.deadline,
        tries=1 if board.selector is Selector.AUTOBOOT else update.tries,
        usb=update.usb,
        swupdate_api=update.swupdate_api,
        server=update.server,
        checks=(
            *(_check(check, check.name) for check in recipe.health),
            *(_check(check, f"{app.name}: {check.name}") for app in recipe.app for check in app.health),
        ),
    )


def page_settings(recipe: Recipe) -> page.PageSettings:
    """What the device is told about its page."""
    addresses = tuple(address.partition("/")[0] for address in recipe.network.addresses)
    return page.PageSettings(tls=recipe.page.tls, addresses=addresses)


def _certificates(files: Sequence[Path]) -> tuple[str, ...]:
    if not files:
        return ()
    from ovenbird.keys.certificates import pem, read_certificates  # only here: it takes longer than a plan

    return tuple(pem(certificate) for certificate in read_certificates(files))


def _check(check: Health, name: str) -> settings.Check:
    return settings.Check(
        name=name,
        command=check.command,
        http=check.http,
        tcp=check.tcp,
        unit=check.unit,
        container=check.container,
        timeout_s=check.timeout,
        every_s=check.every,
    )


def _state(recipe: Recipe) -> str:
    """What the initrd reads: one word and one value a line."""
    lines = [f"var {recipe.state.var}", f"deadline {recipe.update.deadline}"]
    lines += [f"persist {path}" for path in recipe.state.persist]
    if recipe.base.distribution == "arch":  # pacman's account of what is installed goes with the image.
        lines.append("image /var/lib/pacman")
    return "".join(f"{line}\n" for line in lines)


def journal_file(recipe: Recipe) -> str:
    """The journald.conf(5) file. A stage may say otherwise in /etc."""
    kept = recipe.logs.keep != "memory" and recipe.state.var == "persistent"
    limit = f"{'System' if kept else 'Runtime'}MaxUse={recipe.logs.limit}"
    return f"[Journal]\nStorage={'persistent' if kept else 'volatile'}\n{limit}\n"


def network_file(network: Network) -> str:
    """The systemd.network(5) file for every wired interface."""
    lines = ["[Match]", "Type=ether", "Kind=!*", "", "[Network]"]
    if network.addresses:
        lines += [f"Address={address}" for address in network.addresses]
        if network.gateway:
            lines.append(f"Gateway={network.gateway}")
    else:
        lines.append("DHCP=yes")
    lines += [f"DNS={server}" for server in network.dns]
    lines += [
        f"MulticastDNS={_yes(network.mdns)}",
        "LinkLocalAddressing=yes" if network.mdns else "LinkLocalAddressing=ipv6",
    ]
    return "\n".join(lines) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
