"""The files of a bundle, read once and checked against its manifest; apart from what they mean, so quick to import."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from features.errors import BadEnvironment, BadUsage

FORMAT = 4  # raised whenever an older program could not read what is written
MANIFEST = "manifest.json"
SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)  # which says nothing of the bundle
ALWAYS = ("arrays.safetensors", "model.json")


def read_bundle_files(folder: Path) -> tuple[str, dict[str, bytes]]:
    """The version and every file's bytes, once read and checked: what is parsed later is what was hashed.

    Raises BadUsage where there is no bundle, BadEnvironment where a file differs from its hash, or the
    system lacks what reading takes.
    """
    if not (folder / MANIFEST).is_file():
        raise BadUsage("no_bundle", f"{folder} holds no bundle (no {MANIFEST}); train one with `journeycast train`")
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = json.loads(content)
        hashes: dict[str, str] = manifest["sha256"]
        faults = [f"{MANIFEST}: a link, a plain file expected"] if (folder / MANIFEST).is_symlink() else []
        faults += [] if manifest["format"] == FORMAT else [f"format {manifest['format']} found, {FORMAT} expected"]
        faults += [f"{name}: not in the manifest" for name in bundle_file_names(folder) if name not in hashes]
        files = {name: (folder / name).read_bytes() for name in hashes if _is_plain(folder, name)}
        faults += [f"{name}: missing" for name in dict.fromkeys((*hashes, *ALWAYS)) if name not in files]
        faults += [
            f"{name}: its SHA-256 is not the manifest's" for name in files if sha256(files[name]) != hashes[name]
        ]
        faults += [] if content == manifest_bytes(manifest) else [f"{MANIFEST}: not as it was written"]
        faults += [] if manifest["version"] == bundle_version(hashes) else ["the version is not that of the files"]
    except OSError as error:
        if error.errno in SHORT_OF:
            raise BadEnvironment("system_refused", f"{folder} cannot be read now: {error.strerror}") from None
        faults = [f"{MANIFEST} cannot be read"]
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):  # the last: loops, endless nesting
        faults = [f"{MANIFEST} cannot be read"]
    if faults:
        raise BadEnvironment(
            "bundle_corrupt", [f"{folder}: {fault}; restore or retrain the bundle" for fault in faults]
        )
    return manifest["version"], files


def check_target(out: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise BadUsage where writing `out` would replace one of the inputs, or leave a strange file in a bundle."""
    place = out.resolve()
    if place in {path.resolve() for path in inputs}:
        raise BadUsage("out_is_input", f"--out {out} is one of the files to read; name another file")
    for folder in (place, *place.parents):
        if (folder / MANIFEST).is_file() and all((folder / name).is_file() for name in ALWAYS):
            raise BadUsage("out_in_bundle", f"--out {out} lies in the bundle {folder}, which must stay as it is")


def manifest_bytes(manifest: Mapping[str, object]) -> bytes:
    """The manifest as it is written, and in no other way."""
    return (json.dumps(manifest, indent=1) + "\n").encode()


def _is_plain(folder: Path, name: str) -> bool:
    path = folder / name
    if path.is_symlink():  # before it is resolved: one that leads to itself has no end
        return False
    return path.resolve().is_relative_to(folder.resolve()) and path.is_file()


def bundle_file_names(folder: Path) -> list[str]:
    """Every file but the manifest, relative to the folder."""
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return [path.relative_to(folder).as_posix() for path in paths if path.name != MANIFEST or path.parent != folder]


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def bundle_version(hashes: Mapping[str, str]) -> str:
    """A name for the content of all files together."""
    return sha256(json.dumps(sorted(hashes.items())).encode())[:12]
