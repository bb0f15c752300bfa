"""Lines without a machine that has any: requests are those of the kernel's header, systemd keeps what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ovenbird_device.fan.outputs import line

HEADER = """
#include <linux/gpio.h>
#include <stdio.h>
#define SHOW(name) printf("%s %lu\\n", #name, (unsigned long)(name))
int main(void) {
    SHOW(GPIO_GET_CHIPINFO_IOCTL); SHOW(GPIO_V2_GET_LINEINFO_IOCTL); SHOW(GPIO_V2_GET_LINE_IOCTL);
    SHOW(GPIO_V2_LINE_SET_CONFIG_IOCTL); SHOW(GPIO_V2_LINE_GET_VALUES_IOCTL); SHOW(GPIO_V2_LINE_SET_VALUES_IOCTL);
    SHOW(GPIO_V2_LINE_FLAG_USED); SHOW(GPIO_V2_LINE_FLAG_ACTIVE_LOW); SHOW(GPIO_V2_LINE_FLAG_OUTPUT);
    SHOW(GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES);
    struct gpio_v2_line_request asked = {
        .offsets = {7}, .consumer = "ovenbird-fan", .num_lines = 1, .fd = 5,
        .config = {
            .flags = GPIO_V2_LINE_FLAG_OUTPUT, .num_attrs = 1,
            .attrs = {{.attr = {.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, .values = 1}, .mask = 1}},
        },
    };
    for (unsigned long at = 0; at < sizeof asked; at++) printf("%02x", ((unsigned char *)&asked)[at]);
    printf("\\n");
    return 0;
}
"""


def test_requests_are_those_of_the_kernels_header(tmp_path: Path) -> None:
    (tmp_path / "header.c").write_text(HEADER)
    subprocess.run(["gcc", "-o", tmp_path / "header", tmp_path / "header.c"], check=True)
    done = subprocess.run([tmp_path / "header"], check=True, capture_output=True, text=True)
    *shown, asked = done.stdout.splitlines()
    numbers = [int(one.split()[1]) for one in shown]
    assert numbers == [
        line.GET_INFO, line.GET_LINE_INFO, line.GET_LINE, line.SET_CONFIG, line.GET_VALUES, line.SET_VALUES,
        line.USED, line.ACTIVE_LOW, line.OUTPUT, line.OUTPUT_VALUES,
    ]  # fmt: skip
    ours = bytearray(line.asking(7, on=True, inverted=False))
    ours[-4] = 5  # the descriptor, which the kernel fills in
    assert ours.hex() == asked


def test_systemd_keeps_a_descriptor_over_a_violent_end(tmp_path: Path) -> None:
    """By the real systemd: given back to the next daemon, taken away and given anew by what is run after an end."""
    program = Path(__file__).with_name("keeper.py")
    alone = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child"]
    as_root = [] if os.geteuid() == 0 else ["--map-auto", "--map-root-user"]
    command = [*alone, *as_root, sys.executable, str(program), "systemd", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "told").read_text().splitlines() == ["nothing", "first", "after"]
