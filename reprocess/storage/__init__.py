"""Keys and bytes: one contract (`store`), three backends (`s3`, `local`, `memory`), found by URL (`locate`).

Only this room knows clients of S3. Calls that commit are sent once; everything else is tried again by itself.
"""

from reprocess.storage.locate import open_store
from reprocess.storage.store import Blob, ByteRange, RangeRequest, Stamp, Store

__all__ = ["Blob", "ByteRange", "RangeRequest", "Stamp", "Store", "open_store"]
