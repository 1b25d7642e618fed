#!/bin/sh
# Boot a node in a root of its own: an overlay over this machine's, of which nothing is changed. Called by node.py as
#   unshare --mount --net --uts --pid --ipc --fork sh boots.sh FOLDER BOOTS
# FOLDER/image holds what the node image has more than this machine, FOLDER/seen what the recorders use, FOLDER/guest-N
# the guest info before boot N if it changed; FOLDER/boot-N gets everything that was written up to the end of boot N.
set -eu
folder=$1
boots=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

mount --make-rprivate /
mkdir "$folder/own"
mount -t tmpfs -o mode=755 tmpfs "$folder/own"
root=$folder/own/root
upper=$folder/own/upper
mkdir "$root" "$upper" "$folder/own/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$upper,workdir=$folder/own/work" "$root"

# Of the machine's kernel only what cannot be written; of its devices none that holds data.
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
[ ! -d "$root/sys/class/dmi" ] || mount -t tmpfs tmpfs "$root/sys/class/dmi" # so that dmidecode is asked
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir "$root/tmp/seen"
mount --bind "$folder/seen" "$root/tmp/seen"

rm -f "$root/etc/cloud/cloud-init.disabled" # this machine's own: it must not be set up anew
cp -R --no-preserve=ownership "$folder/image/." "$root/"
ip link set lo up
ip link add ens192 type veth peer name outside

in_root() {
    chroot "$root" /usr/bin/env -i PATH=/tmp/seen/programs:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
}

# In the place of systemd-networkd, which does not run here: the one address that netplan's unit gives, or a lease.
network() {
    unit=$root/run/systemd/network/10-netplan-id0.network
    address=$(sed -n 's/^Address=//p' "$unit")
    gateway=$(sed -n 's/^Gateway=//p' "$unit")
    ip address flush dev ens192
    ip address add "${address:-10.10.20.77/24}" dev ens192
    ip link set ens192 up
    ip link set outside up
    ip route add default via "${gateway:-10.10.20.1}"
}

boot=1
while [ "$boot" -le "$boots" ]; do
    [ ! -d "$folder/guest-$boot" ] || { rm -r "$folder/seen/guest" && mv "$folder/guest-$boot" "$folder/seen/guest"; }
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir -p "$root/run/systemd/system"
    : >"$folder/seen/calls"
    in_root netplan generate # as systemd does before everything else
    in_root cloud-init init --local
    network
    in_root cloud-init init
    in_root cloud-init modules --mode=config
    in_root cloud-init modules --mode=final
    mkdir "$folder/boot-$boot"
    in_root cloud-init status --long >"$folder/boot-$boot/status" || true # its exit code says what its text says
    hostname >"$folder/boot-$boot/hostname"
    cp "$folder/seen/calls" "$folder/boot-$boot/calls"
    cp -a "$folder/seen/guest" "$folder/boot-$boot/guest"
    cp -a "$upper" "$folder/boot-$boot/written"
    cp -a "$root/run" "$folder/boot-$boot/run"
    umount "$root/run"
    boot=$((boot + 1))
done
