"""Container images that are packed into an image: taken apart, checked, and put together again."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ovenbird.build.apps import step
from ovenbird.build.apps.container import image_name
from ovenbird.errors import BuildError

from .conftest import AMD64, ARM64, Load, Make, contents

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Layout:
    """An OCI image layout, written by the tests' own hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def table(self, value: object, kind: str) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), kind)

    def image(self, architecture: str) -> dict[str, Any]:
        config = self.table({"architecture": architecture, "os": "linux"}, "application/vnd.oci.image.config.v1+json")
        layer = self.blob(f"layer of {architecture}".encode(), "application/vnd.oci.image.layer.v1.tar")
        return self.table({"schemaVersion": 2, "config": config, "layers": [layer]}, MANIFEST)

    def index(self, *descriptors: dict[str, Any]) -> None:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}))


@pytest.fixture
def layout(tmp_path: Path, read: Load) -> Layout:
    """A layout beside the recipe, still without index."""
    return Layout(tmp_path / "recipe/web")


def several(layout: Layout) -> None:
    """An index with images of two platforms, the way registries serve them."""
    listed = [
        {**layout.image(name), "platform": {"architecture": name, "os": "linux"}} for name in ("amd64", "arm64")
    ]  # fmt: skip
    layout.index(layout.table({"schemaVersion": 2, "manifests": listed}, INDEX))


def test_the_device_s_platform_alone_is_packed(read: Load, make: Make, layout: Layout) -> None:
    several(layout)
    [app] = read("[[app]]\nname='web'\ncontainer='oci:web'\n").recipe.app
    packed = make(app, ARM64) / "program/image"
    index = json.loads((packed / "index.json").read_text())
    [descriptor] = index["manifests"]
    blobs = {path.name: path.read_bytes() for path in (packed / "blobs/sha256").iterdir()}
    assert len(blobs) == 3
    assert b"layer of arm64" in blobs.values()
    assert descriptor["digest"].removeprefix("sha256:") in blobs
    assert (packed / "oci-layout").is_file()


def test_an_archive_gives_the_same_as_its_layout(read: Load, make: Make, layout: Layout) -> None:
    layout.index(layout.image("amd64"))
    with tarfile.open(layout.folder.parent / "web.tar", "w") as archive:
        archive.add(layout.folder, ".")
    first, second = read(
        "[[app]]\nname='web'\ncontainer='oci:web'\n[[app]]\nname='packed'\ncontainer='oci-archive:web.tar'\n"
    ).recipe.app
    assert contents(make(first) / "program") == contents(make(second) / "program")


def test_the_name_on_the_device_follows_the_content(read: Load, layout: Layout) -> None:
    layout.index(layout.image("amd64"))
    [app] = read("[[app]]\nname='web'\ncontainer='oci:web'\n").recipe.app
    kind = step.KINDS["container"]
    before = image_name(app, kind.inputs(app, AMD64))
    assert before.startswith("localhost/ovenbird/web:")
    layout.index(layout.image("amd64"), layout.image("arm64"))
    assert image_name(app, kind.inputs(app, AMD64)) != before
    [pulled] = read("[[app]]\nname='web'\ncontainer='docker://docker.io/library/nginx:1.27'\n").recipe.app
    assert image_name(pulled, kind.inputs(pulled, AMD64)) == "docker.io/library/nginx:1.27"


def test_another_architecture_is_told(read: Load, make: Make, layout: Layout) -> None:
    layout.index(layout.image("arm64"))
    [app] = read("[[app]]\nname='web'\ncontainer='oci:web'\n").recipe.app
    with pytest.raises(BuildError, match="is for arm64, but the board's architecture is amd64") as caught:
        make(app)
    assert caught.value.where == str(layout.folder)


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "the image is incomplete"), ("damaged", "the image is damaged")]
)
def test_a_broken_image_is_refused(read: Load, make: Make, layout: Layout, name: str, message: str) -> None:
    layout.index(layout.image("amd64"))
    blob = next(path for path in (layout.folder / "blobs/sha256").iterdir() if path.read_bytes().startswith(b"layer"))
    if name == "missing":
        blob.unlink()
    else:
        blob.write_bytes(b"something else")
    [app] = read("[[app]]\nname='web'\ncontainer='oci:web'\n").recipe.app
    with pytest.raises(BuildError, match=message):
        make(app)


@pytest.mark.parametrize(
    "index",
    [
        "[]",
        "{",
        "{}",
        '{"manifests": [{}]}',
        '{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}',
        '{"manifests": [{"digest": 7, "platform": {"architecture": "amd64"}}]}',
        '{"manifests": []}',
    ],
)
def test_an_index_of_any_kind_gives_one_error(read: Load, make: Make, layout: Layout, index: str) -> None:
    (layout.folder / "index.json").write_text(index)
    [app] = read("[[app]]\nname='web'\ncontainer='oci:web'\n").recipe.app
    with pytest.raises(BuildError):
        make(app)


def test_a_file_that_is_no_archive(read: Load, make: Make, layout: Layout) -> None:
    (layout.folder.parent / "web.tar").write_text("not a tar")
    with tarfile.open(layout.folder.parent / "empty.tar", "w"):
        pass
    broken, empty = read(
        "[[app]]\nname='a'\ncontainer='oci-archive:web.tar'\n[[app]]\nname='b'\ncontainer='oci-archive:empty.tar'\n"
    ).recipe.app
    with pytest.raises(BuildError, match="is no OCI archive"):
        make(broken)
    with pytest.raises(BuildError, match=r"it has no index\.json"):
        make(empty)


def test_an_image_that_is_pulled_makes_nothing(read: Load, make: Make) -> None:
    [app] = read("[[app]]\nname='web'\ncontainer='docker.io/library/nginx:1.27'\n").recipe.app
    assert not list((make(app) / "program").iterdir())
