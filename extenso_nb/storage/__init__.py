"""Objects in a folder or in S3 behind one face: put whole or not at all, read by range, list, delete by prefix."""

from __future__ import annotations

from extenso_nb.storage.bucket import Bucket, BucketStorage, locate_bucket, refuse_private
from extenso_nb.storage.folder import FolderStorage
from extenso_nb.storage.keys import BLOCK, checked_key
from extenso_nb.storage.objects import Storage
from extenso_nb.storage.ranged import FileObject, Ranged, RemoteObject, StoredObject, list_remote
from extenso_nb.storage.vault import share

__all__ = [
    "BLOCK",
    "Bucket",
    "BucketStorage",
    "FileObject",
    "FolderStorage",
    "Ranged",
    "RemoteObject",
    "Storage",
    "StoredObject",
    "checked_key",
    "list_remote",
    "locate_bucket",
    "refuse_private",
    "share",
]
