#!/bin/sh
# A device for the real swupdate, in a mount namespace of its own: FOLDER/by-partlabel/* are the partitions that the
# bundle names, FOLDER/grub/grubenv is the environment block where swupdate expects it. Then run the rest of the words.
set -eu
folder=$1
shift
mkdir -p "$folder/dev" "$folder/boot" "$folder/tmp"
mount -t tmpfs none "$folder/dev"
mkdir -p "$folder/dev/disk/by-partlabel"
for name in null zero random urandom; do
    : >"$folder/dev/$name"
    mount --bind "/dev/$name" "$folder/dev/$name"
done
mount --bind "$folder/by-partlabel" "$folder/dev/disk/by-partlabel"
mkdir -p "$folder/boot/grub"
mount --bind "$folder/grub" "$folder/boot/grub"
mount --rbind "$folder/boot" /boot
mount --rbind "$folder/dev" /dev
TMPDIR=$folder/tmp
export TMPDIR
exec "$@"
