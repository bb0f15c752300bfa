#!/bin/sh
# Removes what does not belong into an image: caches, logs, identities, and whatever depends on the day or the machine of
# the build. Runs after every change of any stage, so it must be quick: it only touches what is there.
set -eu

stage="${stage:-/run/stage}"
docs="${docs:-false}"
locales="${locales:-}"
epoch="${SOURCE_DATE_EPOCH:-0}"

# --- identity and secrets: every device makes its own -------------------------------------------------------------------
: > /etc/machine-id
if [ -d /var/lib/dbus ]; then
    ln -sf /etc/machine-id /var/lib/dbus/machine-id
fi
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/urandom/random-seed
if [ -e /usr/lib/systemd/system/ssl-cert.service ] || [ -e /lib/systemd/system/ssl-cert.service ]; then
    # Its unit makes the pair again on the device.
    rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
fi

# pacman-key makes a secret key beside the public ones.
rm -rf /etc/pacman.d/gnupg

# --- caches, logs, backups, temporary files -----------------------------------------------------------------------------
for folder in /var/lib/apt/lists /var/cache/apt /var/lib/pacman/sync /var/cache/pacman/pkg /var/backups /var/cache/man /var/log /var/crash; do
    [ -d "$folder" ] || continue
    find "$folder" -type f -delete
done
rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/lib/dpkg/lock* \
    /var/lib/dpkg/triggers/Lock /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- \
    /etc/.pwd.lock /root/.bash_history /root/.wget-hsts
rm -rf /root/.cache /var/cache/debconf/tmp.ci /var/lib/apt/lists/auxfiles
# What makes a build quick and is wrong on a device: dpkg that syncs nothing, apt that drops no rights.
rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap /etc/apt/apt.conf.d/99mmdebstrap
for folder in /tmp /var/tmp; do
    find "$folder" -mindepth 1 -delete 2> /dev/null || true
done
# The build's own mounts are in /run too: they stay behind without harm, as /run is empty on a device.
find /run -mindepth 1 -path /run/stage -prune -o -type f ! -name .containerenv -delete 2> /dev/null || true

# --- what depends on the day -----------------------------------------------------------------------------------------------
# Third field: the day of the last change of the password. 0 means "must be changed" and stays.
days=$((epoch / 86400))
[ "$days" -gt 0 ] || days=1
shadow=$(awk -F: -v OFS=: -v days="$days" '$3 != "" && $3 != "0" { $3 = days } { print }' /etc/shadow)
printf '%s\n' "$shadow" > /etc/shadow
for package in /var/lib/pacman/local/*/desc; do
    [ -f "$package" ] || continue
    sed -i "/^%INSTALLDATE%\$/{n;s/.*/$epoch/}" "$package"
done
for python in /usr/bin/python3 /usr/local/bin/python3; do
    if [ -x "$python" ]; then
        "$python" -I -S -B "$stage/settle_pyc.py" /usr /opt /srv
        break
    fi
done

# --- documentation and translations -----------------------------------------------------------------------------------------
if [ "$docs" != true ]; then
    rm -rf /usr/share/man /usr/share/info /usr/share/groff /usr/share/lintian /usr/share/linda /usr/share/bug \
        /usr/share/doc-base /usr/share/gnome/help
    if [ -d /usr/share/doc ]; then
        # Licences stay; so do links between whole folders, through which some packages share theirs.
        find /usr/share/doc ! -type d ! -name 'copyright*' ! -xtype d -delete
        find /usr/share/doc -mindepth 1 -type d -empty -delete
    fi
fi
case " $locales " in
    *" all "*) ;;
    *)
        if [ -d /usr/share/locale ]; then
            for folder in /usr/share/locale/*/; do
                name=$(basename "$folder")
                case " $locales " in
                    *" $name "*) ;;
                    *) rm -rf "$folder" ;;
                esac
            done
        fi
        # What locales are compiled from; the compiled ones are in /usr/lib/locale.
        rm -rf /usr/share/i18n
        ;;
esac

# --- services that need a root file system that can be written ------------------------------------------------------------
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    man-db.timer; do
    rm -f /etc/systemd/system/*.wants/"$unit"
done

# --- folders below /var -----------------------------------------------------------------------------------------------------
# /var is filled from the image once, at a device's first boot, and parts of it may be in RAM. So that a program finds the
# folder it was installed with after an update and after a restart, systemd-tmpfiles makes those that are missing.
declared=$(cat /usr/lib/tmpfiles.d/*.conf /etc/tmpfiles.d/*.conf 2> /dev/null |
    awk '$1 !~ /^#/ && NF > 1 { print $2 }')
install -d -m 0755 /usr/lib/tmpfiles.d
rm -f /usr/lib/tmpfiles.d/zz-var-folders.conf
find /var -mindepth 2 -type d \( -path /var/lib/dpkg -o -path /var/lib/pacman -o -path /var/lib/apt -o -path /var/tmp \) -prune -o \
    -mindepth 2 -type d -printf '%p :%#m :%u :%g\n' |
    LC_ALL=C sort |
    DECLARED="$declared" awk '
        BEGIN { count = split(ENVIRON["DECLARED"], list, "\n"); for (i = 1; i <= count; i++) known[list[i]] = 1 }
        NF == 4 && $1 ~ /^[A-Za-z0-9\/._@+:-]+$/ && !($1 in known) { print "d", $1, $2, $3, $4, "-" }
    ' > /run/zz-var-folders.conf
install -m 0644 /run/zz-var-folders.conf /usr/lib/tmpfiles.d/zz-var-folders.conf
rm -f /run/zz-var-folders.conf
