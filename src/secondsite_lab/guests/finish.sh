#!/bin/sh
# Called by mmdebstrap with the new root: build the module here, at native speed, and remove what was needed for it.
set -e
root=$1
kernel=$(ls "$root/lib/modules")
export DEBIAN_FRONTEND=noninteractive
chroot "$root" dkms autoinstall -k "$kernel"
mkdir "$root/lib/modules/$kernel/extra" # the package takes its modules along when it goes
cp "$root/lib/modules/$kernel"/updates/dkms/*.ko "$root/lib/modules/$kernel/extra/"
chroot "$root" apt-get -q -y purge zfs-dkms linux-headers-amd64
chroot "$root" apt-get -q -y autoremove --purge
chroot "$root" apt-get clean
chroot "$root" depmod "$kernel"
chroot "$root" update-initramfs -u -k "$kernel"
chroot "$root" useradd --create-home --shell /bin/sh keeper
chroot "$root" systemctl -q enable systemd-networkd
