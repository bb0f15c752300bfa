"""The engine that runs stages: buildah, without a daemon, with chroot isolation, and without root.

Trees are images in a storage of our own below the cache folder, apart from the user's other containers. An image is
named by the key of the step that made it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ovenbird.build.cross import emulation
from ovenbird.build.cross.emulation import Inside
from ovenbird.errors import HostError
from ovenbird.files import sha256_of, write_atomically
from ovenbird.run import Completed, run

REPOSITORY = "localhost/ovenbird"
APART = "containers-emulated"
OCI = "application/vnd.oci.image"
_numbers = itertools.count()
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'  # Only our own local folders are ever read.


@dataclass(frozen=True, slots=True)
class Engine:
    """buildah with the storage below one folder."""

    folder: Path
    runroot: Path
    inside: Inside = field(default_factory=Inside)

    @classmethod
    def at(cls, cache: Path, inside: Inside | None = None) -> Engine:
        """The engine of one cache folder, whose work is done `inside`; makes its settings.

        Raises HostError for an unusable runtime folder.
        """
        inside = inside or Inside()
        folder = cache / (APART if inside.apart else "containers")
        folder.mkdir(parents=True, exist_ok=True)
        runroot = _runtime_folder() / hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        settings = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder / "storage"}"\nrunroot = "{runroot}"\n'
        # Else a bind mount of the storage on itself would stay behind, and no `rm` could take the cache folder away.
        settings += '[storage.options.overlay]\nskip_mount_home = "true"\n'
        for name, content in (("storage.conf", settings), ("policy.json", POLICY)):
            if not (folder / name).exists() or (folder / name).read_text() != content:
                write_atomically(folder / name, content.encode())
        return cls(folder, runroot, inside)

    @property
    def apart(self) -> Engine | None:
        """What root's emulated steps are kept by; None where there are none."""
        beside = self.folder.with_name(APART)
        if self.inside.apart or not beside.is_dir():
            return None
        return Engine.at(self.folder.parent, emulation.storage())

    def image(self, key: str) -> str:
        """The name of the image that a step's key stands for."""
        return f"{REPOSITORY}:{key}"

    def exists(self, key: str) -> bool:
        """Whether the image of a step is here."""
        return (
            self._buildah(
                "inspect", "--type", "image", "--format", "{{.FromImageID}}", self.image(key), check=False
            ).returncode
            == 0
        )

    def load(self, archive: Path, key: str, architecture: str) -> None:
        """Make an image out of a tar of a root file tree (the archive itself becomes its one layer)."""
        # buildah makes the image's first name out of this path: a cache folder such as `.cache` would not be one.
        layout = self.runroot.with_name(f"{self.runroot.name}-{key[:16]}")
        shutil.rmtree(layout, ignore_errors=True)
        try:
            _write_oci_layout(layout, archive, architecture)
            pulled = self._buildah(
                "pull", "--policy", "always", "--quiet", f"oci:{layout}", what="the import of the base"
            )
            self._buildah("tag", pulled.stdout.split()[-1], self.image(key))
            self._buildah("rmi", f"localhost{layout}")  # The name alone: the image has another one now.
        finally:
            shutil.rmtree(layout, ignore_errors=True)

    def build(
        self,
        *,
        parent: str,
        key: str,
        text: str,
        context: Path,
        arguments: Mapping[str, str],
        lists: Path | None = None,
        archives: Path | None = None,
        volumes: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None,
        what: str,
    ) -> None:
        """Build one stage `FROM` its parent: `text` are Containerfile instructions, `context` its folder.

        `lists` and `archives` are lent to apt inside: the package lists under a layer that is thrown away, and a folder
        that keeps what is downloaded outside of the tree. `volumes` are lent likewise: a path here -> "PLACE:OPTIONS".
        Raises CommandError with the stage's last lines.
        """
        words = [
            "build", "--isolation", "chroot", "--pull-never", "--layers=false", "--format", "oci",
            "--tag", self.image(key), "--file", "-",
        ]  # fmt: skip
        arguments = {**arguments, **self.inside.emulator}
        for name, value in sorted(arguments.items()):
            words += ["--build-arg", f"{name}={value}"]
        if lists is not None:
            words += ["--volume", f"{lists}:/var/lib/apt/lists:O"]
        if archives is not None:
            words += ["--volume", f"{archives}:/var/cache/apt/archives:rw"]
        for source, target in (volumes or {}).items():
            words += ["--volume", f"{source}:{target}"]
        declared = "".join(f"ARG {name}\n" for name in sorted(arguments))
        file = f"FROM {self.image(parent)}\n{declared}{text}"
        self._buildah(*words, str(context), stdin=file.encode(), on_line=on_line, what=what)

    def layer_size(self, key: str) -> int:
        """About how many bytes all of an image's layers take; buildah tells it as people write it ("232 MB")."""
        listed = self._buildah("images", "--format", "{{.Size}}", self.image(key), check=False).stdout.split()
        units = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
        return int(float(listed[0]) * units[listed[1]]) if len(listed) >= 2 and listed[1] in units else 0

    def with_tree(
        self,
        key: str,
        script: str,
        *,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        what: str,
    ) -> Completed:
        """Run a shell script that finds an image's tree in $TREE, owners and all. What it changes there is lost."""
        with self._container(key) as container:
            return self._in_tree(container, script, env, on_line, what)

    def change(
        self,
        parent: str,
        key: str,
        scripts: Sequence[Callable[[Completed | None], str]],
        *,
        architecture: str,
        on_line: Callable[[str], None] | None = None,
        what: str,
    ) -> None:
        """Make an image of another one by scripts that find its tree in $TREE, owners and all.

        Each script is asked for when the one before it has ended, with what that printed.
        """
        with self._container(parent) as container:
            done: Completed | None = None
            for script in scripts:
                done = self._in_tree(container, script(done), None, on_line, what)
            self._buildah("config", "--arch", architecture, container)
            self._buildah("commit", "--quiet", "--format", "oci", container, self.image(key), what=what)

    def _in_tree(
        self,
        container: str,
        script: str,
        env: Mapping[str, str] | None,
        on_line: Callable[[str], None] | None,
        what: str,
    ) -> Completed:
        if self.inside.words:
            # Mounts are its own there, and gone at the end.
            mount = shlex.join([*self._program(), "mount", container])
            words = [*self._enter(), "sh", "-euc", f"TREE=$({mount}); export TREE\n{script}"]
            return run(words, env={**self._environment(), **(env or {})}, on_line=on_line, what=what)
        if os.geteuid() == 0:
            tree = self._buildah("mount", container).stdout.strip()
            try:
                return run(["sh", "-euc", script], env={"TREE": tree, **(env or {})}, on_line=on_line, what=what)
            finally:
                self._buildah("umount", container, check=False)
        words = ["unshare", "--mount", f"TREE={container}", "--", "sh", "-euc", script]
        return self._buildah(*words, env=env, on_line=on_line, what=what)

    def take(self, other: Engine, key: str, scratch: Path, architecture: str) -> None:
        """Have an image that another engine has. Nothing to do where both have one storage."""
        if other.folder == self.folder:
            return
        archive = scratch / "tree.tar"
        every = "--xattrs --xattrs-include='*' --numeric-owner --sort=name"
        other.with_tree(key, f'tar -C "$TREE" {every} -cf {shlex.quote(str(archive))} .', what="moving the tree")
        self.load(archive, key, architecture)
        archive.unlink()

    def shell(self, key: str, command: Sequence[str]) -> int:
        """Run a program of the tree on the user's terminal; its changes are lost. Returns its exit code."""
        with self._container(key) as container:
            # The child reads the terminal itself: it stays in our process group.
            words = [*self._enter(), *self._program(), "run", "--isolation", "chroot"]
            words += (f"--env={name}={value}" for name, value in self.inside.emulator.items())
            if os.isatty(0):
                words.append("--terminal")
            return subprocess.call([*words, container, "--", *command], env={**os.environ, **self._environment()})

    @contextmanager
    def _container(self, key: str) -> Generator[str]:
        name = f"ovenbird-{os.getpid()}-{next(_numbers)}-{key[:12]}"  # One tree may be looked at twice at a time.
        self._buildah("from", "--pull-never", "--name", name, self.image(key))
        try:
            yield name
        finally:
            self._buildah("rm", name, check=False)

    def remove(self, keys: Sequence[str]) -> None:
        """Take images away; those that others build upon keep the layers that they share."""
        for engine in (self, *((self.apart,) if self.apart else ())):
            for key in keys:
                engine._buildah("rmi", "--force", self.image(key), check=False)

    def sweep(self) -> None:
        """Take away working containers and unnamed images that killed builds have left. Only while none runs."""
        listed = self._buildah("containers", "--quiet", check=False).stdout.split()
        if listed:
            self._buildah("rm", *listed, check=False)
        self._buildah("rmi", "--prune", check=False)
        if self.apart:
            self.apart.sweep()

    def remove_folder(self, folder: Path) -> None:
        """Take a folder away, whosever its files are; never anything that is mounted in it."""
        apart = () if os.geteuid() == 0 else (*self._program(), "unshare", "--")
        run([*apart, "rm", "-rf", "--one-file-system", "--", folder], env=self._environment(), check=False)

    def _program(self) -> tuple[str, ...]:
        # An ordinary user's buildah heeds the place of the storage only here: what it would take else is the user's own
        # storage, with containers that are none of ours.
        return ("buildah", "--root", str(self.folder / "storage"), "--runroot", str(self.runroot))

    def _enter(self) -> tuple[str, ...]:
        """The words that lead to where the work is done. An ordinary user is in a namespace of their own there."""
        if not self.inside.words:
            return ()
        return (*(() if os.geteuid() == 0 else (*self._program(), "unshare", "--")), *self.inside.words)

    def _environment(self) -> dict[str, str]:
        return {
            **self.inside.environment,
            **self.inside.emulator,
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": os.environ.get("TMPDIR", "/var/tmp"),
        }

    def _buildah(
        self,
        *words: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
        what: str | None = None,
    ) -> Completed:
        extra = ["--signature-policy", str(self.folder / "policy.json")] if words[0] in ("pull", "build") else []
        return run(
            [*self._enter(), *self._program(), words[0], *extra, *words[1:]],
            env={**self._environment(), **(env or {})},
            stdin=stdin,
            on_line=on_line,
            check=check,
            what=what,
        )


def _runtime_folder() -> Path:
    """A folder that does not outlive a boot, for the engine's mounts: the user's own, or one below /tmp."""
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(base) / "ovenbird"
        if os.access(base, os.W_OK):
            folder.mkdir(exist_ok=True)
            return folder
    folder = Path("/tmp") / f"ovenbird-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
        raise HostError(
            "belongs to somebody else",
            where=str(folder),
            hint=f"remove {folder}, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    return folder


def _write_oci_layout(layout: Path, archive: Path, architecture: str) -> None:
    """An OCI image layout of one uncompressed layer (image-spec 1.0): a link to the tar, not a copy."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = sha256_of(archive)
    (blobs / layer).symlink_to(archive)

    def put(value: object) -> dict[str, object]:
        data = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    config = put(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            "history": [{"created_by": "ovenbird base"}],
        }
    )
    manifest = put(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {"mediaType": f"{OCI}.config.v1+json", **config},
            "layers": [
                {
                    "mediaType": f"{OCI}.layer.v1.tar",
                    "digest": f"sha256:{layer}",
                    "size": archive.stat().st_size,
                }
            ],
        }
    )
    index = {"schemaVersion": 2, "manifests": [{"mediaType": f"{OCI}.manifest.v1+json", **manifest}]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
