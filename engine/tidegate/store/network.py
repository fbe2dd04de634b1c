"""Whether a folder lies on a network: SQLite's write-ahead log needs memory that all who use it share."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted; elsewhere nothing is found out, and every folder counts as local."""

_KINDS = frozenset(
    ("9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "smb3", "smbfs")
)
_LOCAL_FUSE = frozenset(("fuse.bindfs", "fuse.encfs", "fuse.gocryptfs", "fuse.ntfs", "fuseblk"))


def file_system(folder: Path) -> str:
    """The kind of the file system that a folder is on, if that is reached by a network; else nothing.

    What is mounted by FUSE counts as such, but for the kinds that are known to be local.
    """
    try:
        device = folder.stat().st_dev
        mounts = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in reversed(mounts):  # the last one covers those before it
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            kind = source.split()[0]
            return kind if kind in _KINDS or (kind.startswith("fuse") and kind not in _LOCAL_FUSE) else ""
    return ""
