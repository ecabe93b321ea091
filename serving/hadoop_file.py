"""A file wherever Spark can write: on this machine, HDFS, an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def full_address(address: str) -> str:
    """What Spark is to be told: an address without scheme is a path of this machine, whatever the cluster's default."""
    return address if "://" in address else f"file://{Path(address).absolute()}"


class HadoopFile:
    """A file or folder by its address; `session` is Spark's."""

    def __init__(self, session: Any, address: str) -> None:
        self._path = session._jvm.org.apache.hadoop.fs.Path(full_address(address))
        self._system = self._path.getFileSystem(session._jsc.hadoopConfiguration())

    def exists(self) -> bool:
        return bool(self._system.exists(self._path))

    def delete(self) -> None:
        """Remove it, and all that is in it."""
        self._system.delete(self._path, True)

    def write(self, text: str) -> None:
        """Write UTF-8 text, over what was there."""
        self._system.setWriteChecksum(False)  # else the local file system writes a hidden file beside it
        stream = self._system.create(self._path, True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()
            self._system.setWriteChecksum(True)
