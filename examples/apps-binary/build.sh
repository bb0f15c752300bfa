#!/bin/sh
# Makes `server` beside this script; CC may name a compiler for another machine.
set -eu
cd "$(dirname "$0")"
"${CC:-cc}" -static -Os -s -Wall -Wextra -Wl,--build-id=none -o server server.c
