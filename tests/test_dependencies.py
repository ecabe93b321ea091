"""What is installed with Journeycast: under which licences it comes, and whether it has known holes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"

# A product may hold packages of these as they are; copyleft only where it ends at the package itself.
ALLOWED = re.compile("Apache|BSD|BSL-1.0|CC0|CNRI|ISC|LGPL|MIT|MPL|Mozilla Public|PSF|Python Software|Zlib")
# These say it in their licence file alone.
BY_FILE = {
    "dataframely": "BSD 3-Clause License",
    "huey": "Permission is hereby granted, free of charge",
    "skops": "MIT License",
}


def locked() -> dict[str, str]:
    lines = [line for line in LOCK.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {same(name): version for name, version in (line.split("==") for line in lines)}


def same(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_comes_under_a_licence_that_a_product_may_use() -> None:
    words = ["--format=json", "--from=mixed", "--with-system", "--with-license-file", "--no-license-path"]
    listed = subprocess.run(
        [sys.executable, "-m", "piplicenses", *words], capture_output=True, text=True, check=True, timeout=60
    )
    packages = {same(package["Name"]): package for package in json.loads(listed.stdout)}
    missing = sorted(locked().keys() - packages.keys())
    assert not missing

    doubtful = {}
    for name in locked():
        parts = re.split(r" AND |; ", packages[name]["License"])
        is_told_by_file = BY_FILE.get(name, "\0") in packages[name]["LicenseText"]
        if not is_told_by_file and not all(ALLOWED.search(part) for part in parts):
            doubtful[name] = packages[name]["License"]
    assert not doubtful


def test_no_package_has_a_known_hole() -> None:
    """Asks the registry; a mirror that does not tell of holes is a reason to skip."""
    words = ["--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off", "--timeout=10"]
    told = subprocess.run(
        [sys.executable, "-m", "pip_audit", "-r", LOCK, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if not told.stdout:
        pytest.skip(f"the registry was not reached: {told.stderr.strip().splitlines()[-1][:80]}")
    packages = json.loads(told.stdout)["dependencies"]
    audited = [package for package in packages if "vulns" in package]
    if len(audited) < len(packages) / 2:
        pytest.skip(f"the registry tells of holes in {len(audited)} of {len(packages)} packages only")
    holes = {
        f"{package['name']} {package['version']}": [hole["id"] for hole in package["vulns"]]
        for package in audited
        if package["vulns"]
    }
    assert not holes
