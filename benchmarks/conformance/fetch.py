#!/usr/bin/env python3
"""fetch.py DIR: unpacks the source distributions of Pillow, tifffile, imageio and scikit-image, for their pictures."""
import hashlib
import io
import json
import sys
import tarfile
import urllib.request
from pathlib import Path

SOURCES = {"pillow": "13.0.0", "tifffile": "2026.9.9", "imageio": "2.38.1", "scikit-image": "0.26.0"}


def fetch(url, accept="*/*"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as answer:
        return answer.read()


def main():
    for package, version in SOURCES.items():
        listed = json.loads(fetch(f"https://pypi.org/simple/{package}/", "application/vnd.pypi.simple.v1+json"))
        name = f"{package.replace('-', '_')}-{version}.tar.gz"
        found = next(file for file in listed["files"] if file["filename"].replace("-", "_") == name.replace("-", "_"))
        data = fetch(found["url"])
        if hashlib.sha256(data).hexdigest() != found["hashes"]["sha256"]:
            sys.exit(f"{name} is not what the index says")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(Path(sys.argv[1], package), filter="data")


if __name__ == "__main__":
    main()
