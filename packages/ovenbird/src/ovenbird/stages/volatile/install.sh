#!/bin/sh
# One mount unit for each folder in RAM, and a journal that is never written to the disk.
set -eu

fail() {
    echo "volatile: $1" >&2
    exit 1
}

is_size() { # VALUE SUFFIXES
    number=${1%["$2"]}
    case "$number" in
        *[!0-9]* | "" | 0*) return 1 ;;
    esac
}

paths="${paths:-/tmp /var/tmp /var/log}"
size="${size:-64M}"
journal="${journal:-16M}"
is_size "$size" "KMG%" || fail "size \"$size\" is not a size such as 64M or 10%"
is_size "$journal" "KMG" || fail "journal \"$journal\" is not a size such as 16M"

for path in $paths; do
    case "$path" in
        /*/ | *//* | */../* | */.. | */./* | */.) fail "write the folder $path in its plain form" ;;
        / | /etc* | /usr* | /dev* | /proc* | /sys* | /run* | /data* | /boot* | /var | /home | /root)
            fail "$path cannot be a folder in RAM"
            ;;
        /*) ;;
        *) fail "$path is not an absolute path" ;;
    esac
    [ -d "$path" ] || install -d -m 0755 "$path"
    mode=$(stat -c %a "$path")
    owner=$(stat -c "uid=%u,gid=%g" "$path")
    unit=$(systemd-escape --path --suffix=mount "$path")
    options="mode=$mode,$owner,size=$size,nosuid,nodev"
    # systemd reads % as the start of one of its specifiers.
    options=$(printf '%s' "$options" | sed 's/%/%%/g')
    {
        echo "[Unit]"
        echo "Description=$path in RAM"
        echo "ConditionPathIsSymbolicLink=!$path"
        echo
        echo "[Mount]"
        echo "What=tmpfs"
        echo "Where=$path"
        echo "Type=tmpfs"
        echo "Options=$options"
        echo
        echo "[Install]"
        echo "WantedBy=local-fs.target"
    } > "/etc/systemd/system/$unit"
    systemctl enable "$unit" 2> /dev/null
done

install -d -m 0755 /etc/systemd/journald.conf.d
{
    echo "[Journal]"
    echo "Storage=volatile"
    echo "RuntimeMaxUse=$journal"
} > /etc/systemd/journald.conf.d/volatile.conf
