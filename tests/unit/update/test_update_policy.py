"""Which bundles are welcome: versions as people write them, machines, and what failed before."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format.description import Description
from ovenbird_device.update.policy import Wishes, check, older, sort_key
from ovenbird_device.update.snapshot import Reason, UpdateError

RISING = [
    ("1.4.0-rc1", "1.4.0"),
    ("1.4.0rc1", "1.4.0"),
    ("1.4.0.dev3", "1.4.0"),
    ("1.4a1", "1.4"),
    ("1.3.9", "1.4.0-rc1"),
    ("1.4.0-rc1", "1.4.0-rc2"),
    ("1.4.0-alpha", "1.4.0-beta"),
    ("1.4.0-beta.2", "1.4.0-rc.1"),
    ("1.9", "1.10"),
    ("v1.9", "v1.10"),
    ("v1", "2"),
    ("2026.01.02", "2026.1.10"),
    ("1.0~git1", "1.0"),
    ("1.0", "1.0+fix1"),
    ("1.0-1", "1.0-2"),
    ("9.9", "1:0.1"),
]
DEBIAN = [
    "1",
    "1.0",
    "1.",
    "1.02",
    "1.2",
    "1.10",
    "1.0~",
    "1.0~~",
    "1.0~1",
    "1.0+x",
    "1.0z",
    "1.0.z",
    "1.0-1",
    "1:0",
    "x1",
]
versions = st.text("0123456789.~+-:abrcz", max_size=12)


@pytest.mark.parametrize(("one", "other"), RISING)
def test_versions_rise(one: str, other: str) -> None:
    assert older(one, other)
    assert not older(other, one)


def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    tool = shutil.which("dpkg")
    assert tool
    for one, other in itertools.permutations([version for version in DEBIAN if version[0].isdigit()], 2):
        done = subprocess.run([tool, "--compare-versions", one, "lt", other], capture_output=True, check=False)
        assert older(one, other) == (done.returncode == 0), (one, other)


@given(versions, versions, versions)
def test_the_order_is_an_order(one: str, two: str, three: str) -> None:
    assert not older(one, one)
    assert not (older(one, two) and older(two, one))
    if older(one, two) and older(two, three):
        assert older(one, three)
    assert (sort_key(one) == sort_key(two)) == (not older(one, two) and not older(two, one))


NONE = Wishes()


def judge(
    version: str = "2",
    wishes: Wishes = NONE,
    *,
    compatible: tuple[str, ...] = ("pc",),
    failed: tuple[str, ...] = (),
) -> Reason | None:
    bundle = Description(version, ("vm", "#RE:^p[a-c]$"), ())
    try:
        check(bundle, "digest", wishes, compatible=compatible, running="1.5", failed=failed)
    except UpdateError as error:
        return error.reason
    return None


def test_what_is_welcome() -> None:
    assert judge() is None
    assert judge("1.5") is None
    assert judge("1.4") is Reason.OLDER
    assert judge("1.4", Wishes(allow_downgrade=True)) is None
    assert judge(compatible=("rpi",)) is Reason.COMPATIBLE
    assert judge(compatible=()) is Reason.COMPATIBLE
    assert judge(wishes=Wishes(allow_downgrade=True, force=True), compatible=("rpi",)) is Reason.COMPATIBLE
    assert judge(failed=("digest",)) is Reason.FAILED_BEFORE
    assert judge(failed=("digest",), wishes=Wishes(force=True)) is None
    assert judge(failed=("other",)) is None
