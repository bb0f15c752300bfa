#!/bin/sh
# Sets up sshd for keys only. Host keys never enter the image: ssh-host-keys.service makes them on the device.
set -eu

fail() {
    echo "ssh: $1" >&2
    exit 1
}

stage="${stage:-/run/stage}"
keys="${keys:-}"
user="${user:-admin}"
sudo="${sudo:-true}"
port="${port:-22}"
host_keys="${host_keys:-ed25519 ecdsa}"

case "$user" in
    *[!a-z0-9_-]* | [0-9-]* | "") fail "\"$user\" is not a name for a user (a-z, 0-9, _ and -, a letter first)" ;;
esac
case "$port" in
    *[!0-9]* | "") fail "port \"$port\" is not a number" ;;
esac
if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
    fail "port $port is not between 1 and 65535"
fi
for kind in $host_keys; do
    case "$kind" in
        ed25519 | ecdsa | rsa) ;;
        *) fail "there is no kind of host key \"$kind\": use ed25519, ecdsa, rsa" ;;
    esac
done

# The user, and root's locked password ("*": no password fits it).
if ! getent passwd "$user" > /dev/null; then
    useradd --create-home --user-group --shell /bin/bash "$user"
    usermod --password '*' "$user"
fi
usermod --password '*' root
if [ "$user" != root ]; then
    home=$(getent passwd "$user" | cut -d: -f6)
    # /home belongs to the device once it has booted: an update that brings a new user brings the folder this way.
    echo "d $home 0700 $user $user -" > "/usr/lib/tmpfiles.d/ssh-user-$user.conf"
    if [ "$sudo" = true ]; then
        install -d -m 0750 /etc/sudoers.d
        echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" > "/etc/sudoers.d/ssh-$user"
        chmod 0440 "/etc/sudoers.d/ssh-$user"
    fi
fi

# Image-owned keys lie outside of the home folder, so that an update can add and withdraw them.
install -d -m 0755 /etc/ssh/authorized_keys.d
if [ -n "$keys" ]; then
    # A stage may be used twice for one user: keys add up.
    touch "/etc/ssh/authorized_keys.d/$user"
    for file in "$stage/$keys"/*; do
        [ -f "$file" ] || continue
        ssh-keygen -l -f "$file" > /dev/null 2>&1 || fail "$(basename "$file") is not a public key"
        if grep -q 'PRIVATE KEY' "$file"; then
            fail "$(basename "$file") is a private key: give the public one (it ends in .pub)"
        fi
        # The last line of a key file may lack its end.
        sed -e "\$a\\" "$file" >> "/etc/ssh/authorized_keys.d/$user"
    done
    chmod 0644 "/etc/ssh/authorized_keys.d/$user"
fi

root_login=no
# Root may log in once some use of this stage gave root keys.
[ -s /etc/ssh/authorized_keys.d/root ] && root_login=prohibit-password
install -d -m 0755 /etc/ssh/sshd_config.d
{
    echo "Port $port"
    for kind in $host_keys; do
        echo "HostKey /etc/ssh/ssh_host_${kind}_key"
    done
    echo "PermitRootLogin $root_login"
    echo "PasswordAuthentication no"
    echo "KbdInteractiveAuthentication no"
    echo "AuthenticationMethods publickey"
    echo "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u /etc/ovenbird/users/%u.keys .ssh/authorized_keys"
    echo "X11Forwarding no"
} > /etc/ssh/sshd_config.d/10-keys-only.conf

# Made on the device, before sshd; the package made some while it was installed.
rm -f /etc/ssh/ssh_host_*
printf 'HOST_KEYS="%s"\n' "$host_keys" > /etc/default/ssh-host-keys
install -D -m 0755 "$stage/ssh-host-keys" /usr/libexec/ssh-host-keys
install -D -m 0644 "$stage/ssh-host-keys.service" /etc/systemd/system/ssh-host-keys.service
# Debian calls it ssh, all others sshd.
service=sshd.service
[ ! -e /usr/lib/systemd/system/ssh.service ] || service=ssh.service
systemctl enable ssh-host-keys.service "$service" 2> /dev/null
# Debian 13 brings another unit for the same, which would make every kind.
if [ -e /usr/lib/systemd/system/sshd-keygen.service ]; then
    systemctl mask sshd-keygen.service 2> /dev/null
fi
