#!/bin/sh
# Sets locale, time zone and keyboard, and says in one line what is missing for them.
set -eu

fail() {
    echo "os: $1" >&2
    exit 1
}

locale="${locale:-C.UTF-8}"
timezone="${timezone:-Etc/UTC}"
keyboard="${keyboard:-}"

case "$locale" in
    C | POSIX | C.UTF-8 | C.utf8) ;;
    *)
        [ -r /usr/share/i18n/SUPPORTED ] ||
            fail "locale $locale needs the package locales: add \"locales\" to packages in [base]"
        charset=$(awk -v wanted="$locale" '$1 == wanted { print $2; exit }' /usr/share/i18n/SUPPORTED)
        [ -n "$charset" ] || fail "there is no locale $locale (see /usr/share/i18n/SUPPORTED for the names)"
        # One directory for the locale: the archive that localedef makes otherwise is laid out by its history.
        localedef --no-archive -i "${locale%%.*}" -f "$charset" "$locale" ||
            fail "locale $locale cannot be compiled"
        ;;
esac
echo "LANG=$locale" > /etc/locale.conf
# PAM of Debian 12 reads the old name of that file.
mkdir -p /etc/default
[ -L /etc/default/locale ] || echo "LANG=$locale" > /etc/default/locale

case "$timezone" in
    /* | *..* | "") fail "\"$timezone\" is not the name of a time zone" ;;
esac
[ -f "/usr/share/zoneinfo/$timezone" ] ||
    fail "there is no time zone $timezone (names are like Europe/Vienna, Etc/UTC; old ones are in tzdata-legacy)"
ln -sf "../usr/share/zoneinfo/$timezone" /etc/localtime
echo "$timezone" > /etc/timezone

if [ -n "$keyboard" ]; then
    command -v setupcon > /dev/null ||
        fail "keyboard $keyboard needs the package console-setup: add \"console-setup\" to packages in [base]"
    # setupcon takes whatever it is given; the list of layouts knows better.
    awk -v wanted="$keyboard" '/^!/ { layouts = $2 == "layout" } layouts && $1 == wanted { found = 1 } END { exit !found }' \
        /usr/share/X11/xkb/rules/base.lst ||
        fail "there is no keyboard layout $keyboard (see /usr/share/X11/xkb/rules/base.lst for the names)"
    printf 'XKBMODEL="pc105"\nXKBLAYOUT="%s"\nXKBVARIANT=""\nXKBOPTIONS=""\nBACKSPACE="guess"\n' "$keyboard" \
        > /etc/default/keyboard
    echo "KEYMAP=$keyboard" > /etc/vconsole.conf
    # The compiled key map: a device would otherwise compile it at every boot, as its /etc starts empty.
    setupcon --save-only
fi
