"""A reader of its own process that resolves pointers and verifies checksums all the time.

Knows the layout in the bucket and nothing of the product's code. It asks the server directly: weather is not damage.
Ends on SIGTERM after one more pass over everything, and prints what it has seen as JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

PAUSE_S = 0.3
AGAIN = 5
"""So many pointers that have not changed are read again in each pass."""
_TRANSIENT = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)


class Reader:
    """Reads below ``bucket/prefix``; `truth` is the workload as JSON."""

    def __init__(self, client: Any, bucket: str, prefix: str, truth: dict[str, Any]) -> None:
        self.client, self.bucket, self.prefix, self.truth = client, bucket, prefix, truth
        self.seen: Counter[str] = Counter()
        self.problems: list[str] = []
        self._etags: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._dice = random.Random(0)

    def look(self, *, everything: bool = False) -> None:
        """Make one pass."""
        listed = dict(self._list("pointers/"))
        changed = {key for key, etag in listed.items() if self._etags.get(key) != etag}
        others = sorted(set(listed) - changed)
        chosen = others if everything else self._dice.sample(others, min(AGAIN, len(others)))
        for key in [*sorted(changed), *chosen]:
            try:
                self._resolve(key)
                self._etags[key] = listed[key]
            except _TRANSIENT:
                self.seen["transient errors"] += 1
        for key in set(self._etags) - set(listed):
            self._say(f"{key} is gone")
        self.seen["passes"] += 1

    def _resolve(self, key: str) -> None:
        dataset = key.removeprefix("pointers/").removesuffix(".json")
        self.seen["pointers"] += 1
        pointer = json.loads(self._get(key) or b"{}")
        version, before = pointer.get("version"), self._versions.get(dataset)
        known = (self.truth["earlier"].get(dataset), self.truth["published"].get(dataset))
        if pointer.get("dataset") != dataset or version not in known:
            self._say(f"{key} shows {version!r}")
            return
        if before == known[1] and version != before:
            self._say(f"{key} went back from {before} to {version}")
        if before != version:
            self.seen["versions"] += 1
        self._versions[dataset] = version
        self._verify(dataset, version)

    def _verify(self, dataset: str, version: str) -> None:
        place = f"products/{dataset}/{version}/"
        told = json.loads(self._get(place + "manifest.json") or b"{}").get("files", [])
        names = {key for key in self.truth["products"] if key.startswith(place)}
        if {place + file["name"] for file in told} | {place + "manifest.json"} != names:
            self._say(f"the manifest of {place} lists {[file['name'] for file in told]}")
        for file in told:
            self.seen["files"] += 1
            data = self._get(place + file["name"])
            if data is None:
                self._say(f"{place}{file['name']} is missing")
            elif (len(data), hashlib.sha256(data).hexdigest()) != (file["size"], file["sha256"]):
                self._say(f"{place}{file['name']} is not what the manifest says")
            elif self.truth["products"].get(place + file["name"]) != file["sha256"]:
                self._say(f"{place}{file['name']} is not what an undisturbed run gives")

    def _get(self, key: str) -> bytes | None:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()  # type: ignore[no-any-return]
        except self.client.exceptions.NoSuchKey:
            return None

    def _list(self, below: str) -> Iterator[tuple[str, str]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + below)
        for page in pages:
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(self.prefix), found["ETag"]

    def _say(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def main() -> None:
    """Read until SIGTERM."""
    parser = argparse.ArgumentParser(description="Reads and verifies what is published below BUCKET/PREFIX.")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--truth", type=Path, required=True, help="the workload as JSON")
    parser.add_argument("place", metavar="BUCKET/PREFIX/")
    options = parser.parse_args()
    config = Config(retries={"mode": "standard", "total_max_attempts": 10}, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=options.endpoint, region_name="us-east-1", config=config)
    bucket, _, prefix = options.place.partition("/")
    reader = Reader(client, bucket, prefix, json.loads(options.truth.read_text()))
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while not ended:
        reader.look()
        time.sleep(PAUSE_S)
    reader.look(everything=True)
    print(json.dumps({"seen": reader.seen, "problems": reader.problems}))


if __name__ == "__main__":
    main()
