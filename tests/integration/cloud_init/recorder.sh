#!/bin/sh
# In the place of a program that must not run here, or before it where the program may: notes how it was called.
name=${0##*/}
echo "$name${*:+ $*}" >>/tmp/seen/calls
case $name in
sed | update-ca-certificates) # harmless in this root, and what they do is looked at
    PATH=${PATH#*:}
    exec "$name" "$@"
    ;;
systemd-detect-virt) # a machine, and no container
    exit 1
    ;;
dmidecode)
    [ "$2" != system-product-name ] || echo VMware7,1
    ;;
vmware-rpctool) # of open-vm-tools; the hypervisor's guest info is a folder
    # shellcheck disable=SC2086 # one argument that holds a command, a key and a value
    set -- $1
    file=/tmp/seen/guest/$2
    case $1 in
    info-get)
        [ -s "$file" ] && exec cat "$file"
        printf 'No value found' >&2
        exit 1
        ;;
    info-set)
        shift 2
        printf '%s' "$*" >"$file"
        ;;
    esac
    ;;
esac
