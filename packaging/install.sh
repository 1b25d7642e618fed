#!/bin/sh
# Install pcg from the unpacked archive of `make dist` on a machine without internet. Safe to run again: the same archive
# changes nothing, a newer or older one takes its place beside what was there (docs/deploy.md: upgrade and roll back).
#
#     PREFIX/releases/VERSION-SUM/   one whole environment for each archive that was installed
#     PREFIX/venv                    link to the one in use, changed in one step
#     PREFIX/bin/pcg                 the command
set -eu
umask 022
unset PYTHONPATH PYTHONHOME

usage() {
    cat <<END
usage: install.sh [--prefix DIR] [--python PYTHON] [--with-systemd console|installer] [--root DIR]

  --prefix DIR      where pcg goes; default: /opt/pcg
  --python PYTHON   the interpreter to use; default: the one that the wheels were made for
  --with-systemd S  also install user, settings and unit of S (needs root; may be given twice)
  --root DIR        put systemd's files below DIR and make no users: for building the image of a machine
END
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

main() {
    prefix=/opt/pcg python="" services="" root=""
    while [ $# -gt 0 ]; do
        case "$1" in
            --help | -h) usage && exit 0 ;;
            --prefix | --python | --with-systemd | --root)
                [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
                case "$1" in
                    --prefix) prefix=$2 ;;
                    --python) python=$2 ;;
                    --with-systemd) services="$services $2" ;;
                    --root) root=$2 ;;
                esac
                shift 2
                ;;
            *) fail "unknown argument $1 (see --help)" ;;
        esac
    done
    case "$prefix" in /*) ;; *) prefix="$PWD/$prefix" ;; esac
    case "$root" in "" | /*) ;; *) root="$PWD/$root" ;; esac
    cd "$(dirname "$0")"
    check_archive
    check_services
    choose_python
    make_release
    use_release
    for service in $services; do
        install_service "$service"
    done
}

check_archive() {
    [ -f SHA256SUMS ] || fail "SHA256SUMS is missing; unpack the whole archive and run install.sh from there"
    command -v sha256sum >/dev/null || fail "sha256sum is missing on this machine"
    wrong=$(LC_ALL=C sha256sum -c SHA256SUMS 2>/dev/null | sed -n 's/: FAILED.*//p' | tr '\n' ' ') || true
    [ -z "$wrong" ] || fail "not as SHA256SUMS says, nothing was installed: $wrong"
    sha256sum -c SHA256SUMS >/dev/null 2>&1 || fail "SHA256SUMS cannot be checked, nothing was installed"
    listed=$(sed -n 's/^[0-9a-f]\{64\}  \(wheels\/.*\)$/\1/p' SHA256SUMS | LC_ALL=C sort)
    present=$(find wheels ! -type d | LC_ALL=C sort)
    [ "$listed" = "$present" ] || fail "wheels/ holds files that SHA256SUMS does not name, nothing was installed"
    # Every value comes from the checked file TARGET.
    version=$(value version) wanted_python=$(value python) wanted_platform=$(value platform) wanted_glibc=$(value glibc)
}

value() {
    sed -n "s/^$1=//p" TARGET
}

check_services() {
    for service in $services; do
        case "$service" in console | installer) ;; *) fail "--with-systemd knows console and installer, not $service" ;; esac
    done
    [ -n "$services" ] || return 0
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "--with-systemd needs root"
    case "$prefix" in
        *[!A-Za-z0-9./_+-]*) fail "a systemd unit needs a --prefix of letters, digits and ./_+-" ;;
        # ProtectHome and PrivateTmp hide these from the services.
        /home/* | /root/* | /run/user/* | /tmp/* | /var/tmp/*)
            [ -n "$root" ] || fail "the services cannot see $prefix; choose another --prefix" ;;
    esac
}

choose_python() {
    minor=${wanted_python#cp3}
    if [ -z "$python" ]; then
        python=python3
        if command -v "python3.$minor" >/dev/null; then python="python3.$minor"; fi
    fi
    command -v "$python" >/dev/null || fail "$python was not found; these wheels need Python 3.$minor (--python PYTHON)"
    found=$("$python" -c '
import os, re, sys, sysconfig
try:
    libc = (os.confstr("CS_GNU_LIBC_VERSION") or "none").split()[-1]
except (AttributeError, OSError, ValueError):
    libc = "none"
print("cp%d%d" % sys.version_info[:2], re.sub("[-. ]", "_", sysconfig.get_platform()), libc)') ||
        fail "$python does not run"
    # shellcheck disable=SC2086 # three words
    set -- $found
    [ "$1" = "$wanted_python" ] || fail "these wheels need Python 3.$minor, and $python is 3.${1#cp3} (--python PYTHON)"
    [ "$2" = "$wanted_platform" ] || fail "these wheels are for $wanted_platform, and this machine is $2"
    [ -n "$wanted_glibc" ] || return 0
    "$python" -c '
import sys
have, need = ([int(part) for part in text.split(".")[:2]] if text[0].isdigit() else [] for text in sys.argv[1:])
sys.exit(have < need)' "$3" "$wanted_glibc" || fail "these wheels need glibc $wanted_glibc or newer, and this machine has $3"
}

make_release() {
    sum=$(sha256sum SHA256SUMS)
    release="releases/$version-$(printf %.12s "$sum")"
    mkdir -p "$prefix/releases" "$prefix/bin" 2>/dev/null && [ -w "$prefix/releases" ] && [ -w "$prefix" ] ||
        fail "$prefix cannot be written; run this as root or give --prefix DIR"
    if [ -f "$prefix/$release/.complete" ]; then
        echo "pcg $version is in $prefix/$release already"
        return
    fi
    # What is there without the mark was interrupted.
    rm -rf "${prefix:?}/$release"
    "$python" -m venv --without-pip "$prefix/$release" ||
        fail "$python cannot make environments; on Debian install python3-venv"
    # No setting of this machine counts: no index is asked, no other folder looked into.
    set -- wheels/pip-*.whl
    PIP_CONFIG_FILE=/dev/null "$prefix/$release/bin/python" "$1/pip" --isolated install --quiet \
        --disable-pip-version-check --no-input --no-cache-dir --root-user-action=ignore \
        --no-index --find-links wheels "pcg==$version" || fail "pip could not install the wheels; it said why above"
    told=$("$prefix/$release/bin/pcg" --version) && [ "$told" = "$version" ] ||
        fail "the installed pcg does not run; nothing was changed in $prefix/venv"
    : >"$prefix/$release/.complete"
    echo "pcg $version installed in $prefix/$release"
}

use_release() {
    [ ! -e "$prefix/venv" ] || [ -L "$prefix/venv" ] || fail "$prefix/venv is not a link of this installer; move it away"
    before=$(readlink "$prefix/venv" || true)
    link "$release" "$prefix/venv"
    link ../venv/bin/pcg "$prefix/bin/pcg"
    [ -z "$before" ] || [ "$before" = "$release" ] || echo "before it was $before, which is kept for a roll back"
    if [ "$prefix" = /opt/pcg ] && [ "$(id -u)" = 0 ]; then
        if [ -L /usr/local/bin/pcg ] || [ ! -e /usr/local/bin/pcg ]; then
            link /opt/pcg/bin/pcg /usr/local/bin/pcg
        else
            echo "note: /usr/local/bin/pcg is not a link and was left alone" >&2
        fi
    fi
    echo "the command: $prefix/bin/pcg"
}

# link TARGET NAME: in one step, also where NAME is there already.
link() {
    rm -f "$2.new"
    ln -s "$1" "$2.new"
    "$python" -c 'import os, sys; os.replace(sys.argv[1] + ".new", sys.argv[1])' "$2"
}

install_service() {
    unit="pcg-$1.service" settings="$root/etc/pcg/$1.env"
    mkdir -p "$root/etc/systemd/system" "$root/etc/sysusers.d" "$root/etc/tmpfiles.d" "$root/etc/pcg"
    chmod 0700 "$root/etc/pcg"
    cp systemd/pcg.sysusers "$root/etc/sysusers.d/pcg.conf"
    cp systemd/pcg.tmpfiles "$root/etc/tmpfiles.d/pcg.conf"
    sed "s|/opt/pcg/|$prefix/|g" "systemd/$unit" >"$root/etc/systemd/system/$unit"
    page=""
    if [ "$1" = installer ]; then
        page=" pcg-monitor.service"
        sed "s|/opt/pcg/|$prefix/|g" systemd/pcg-monitor.service >"$root/etc/systemd/system/pcg-monitor.service"
    fi
    if [ ! -e "$settings" ]; then
        (umask 077 && cp "systemd/$1.env" "$settings")
        chmod 0600 "$settings"
    fi
    if [ -n "$root" ]; then
        echo "$unit is below $root; users and folders are made when the machine starts"
        return
    fi
    command -v systemd-sysusers >/dev/null || fail "systemd-sysusers is missing: make the user pcg-$1 and enable $unit by hand"
    systemd-sysusers /etc/sysusers.d/pcg.conf || fail "systemd-sysusers could not make the users"
    systemd-tmpfiles --create /etc/tmpfiles.d/pcg.conf || fail "systemd-tmpfiles could not make /etc/pcg"
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || fail "systemctl daemon-reload failed"
    fi
    echo "next: edit $settings, then: systemctl enable --now $unit$page   (after an upgrade: systemctl restart $unit$page)"
}

main "$@"
