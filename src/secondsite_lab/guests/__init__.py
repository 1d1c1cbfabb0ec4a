"""Two real machines with a kernel and an OpenZFS of their own, emulated by QEMU; tests/openzfs uses them.

The lab's hosts share this machine's kernel, so their ZFS is zfs-fuse. What only OpenZFS can (raw and resumed sends,
bookmarks, delegation) is tried here: slowly, but for real.
"""
