#!/bin/sh
# Makes one user. No password: a secret in an image is a secret on every device, so the way in is an SSH key.
set -eu

fail() {
    echo "users: $1" >&2
    exit 1
}

stage="${stage:-/run/stage}"
name="${name:-}"
uid="${uid:-0}"
groups="${groups:-}"
shell="${shell:-/bin/bash}"
sudo="${sudo:-false}"
keys="${keys:-}"

case "$name" in
    *[!a-z0-9_-]* | [0-9-]* | "") fail "\"$name\" is not a name for a user (a-z, 0-9, _ and -, a letter first)" ;;
    root) fail "root is there already; its keys are given by the stage ssh with user = \"root\"" ;;
esac
[ -x "$shell" ] || fail "there is no shell $shell in the system (add its package to [base] packages)"
for group in $groups; do
    getent group "$group" > /dev/null || fail "there is no group $group (the package that makes it belongs into [base])"
done

if getent passwd "$name" > /dev/null; then
    existing=$(id -u "$name")
    if [ "$uid" -ne 0 ] && [ "$uid" -ne "$existing" ]; then
        fail "user $name exists with number $existing, not $uid"
    fi
    usermod --shell "$shell" "$name"
else
    if [ "$uid" -ne 0 ]; then
        if getent passwd "$uid" > /dev/null; then
            fail "number $uid belongs to $(getent passwd "$uid" | cut -d: -f1) already"
        fi
        groupadd --gid "$uid" "$name"
        useradd --create-home --uid "$uid" --gid "$uid" --shell "$shell" "$name"
    else
        useradd --create-home --user-group --shell "$shell" "$name"
    fi
    # "*": no password fits, and the account is not locked for its keys.
    usermod --password '*' "$name"
fi
for group in $groups; do
    usermod --append --groups "$group" "$name"
done

# /home belongs to the device once it has booted: an update that brings a new user brings the folder this way.
home=$(getent passwd "$name" | cut -d: -f6)
echo "d $home 0700 $name $(id -gn "$name") -" > "/usr/lib/tmpfiles.d/user-$name.conf"

if [ "$sudo" = true ]; then
    install -d -m 0750 /etc/sudoers.d
    echo "$name ALL=(ALL:ALL) NOPASSWD: ALL" > "/etc/sudoers.d/user-$name"
    chmod 0440 "/etc/sudoers.d/user-$name"
fi

if [ -n "$keys" ]; then
    install -d -m 0755 /etc/ssh/authorized_keys.d
    for file in "$stage/$keys"/*; do
        [ -f "$file" ] || continue
        if grep -q 'PRIVATE KEY' "$file"; then
            fail "$(basename "$file") is a private key: give the public one (it ends in .pub)"
        fi
        # The last line of a key file may lack its end.
        sed -e "\$a\\" "$file" >> "/etc/ssh/authorized_keys.d/$name"
    done
    chmod 0644 "/etc/ssh/authorized_keys.d/$name"
fi
