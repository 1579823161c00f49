"""The image: what its recipe says, and what is in it when it is built.

Building needs root, a package index and a root filesystem of Debian bookworm with Python 3.11, which
``REPROCESS_IMAGE_BASE`` names: a directory or a tar file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile

import pytest

from reprocess import __version__
from tests.manifests.rendering import ROOT, needs_kubectl, overlay_of
from tests.manifests.translate import pods

BASE = os.environ.get("REPROCESS_IMAGE_BASE", "")
FILL = ROOT / "image" / "fill"
built_here = pytest.mark.skipif(not BASE, reason="REPROCESS_IMAGE_BASE names no root filesystem: no image is built")

LEFT_OUT = re.compile(
    r"/s?bin/([\w-]+-)?(gcc|g\+\+|cc|c\+\+|clang|as|ld|make|go|rustc|pip3?|curl|wget|git|ssh)(-[\d.]+)?$"
    r"|/(site|dist)-packages/pip/"
)
SECRETS = re.compile(
    rb"(AKIA|ASIA)(?![0-9A-Z]{9}EXAMPLE)[0-9A-Z]{16}\b|(?i:aws_secret_access_key)\s*=\s*['\"]?[A-Za-z0-9/+]{40}\b"
)
KEY = re.compile(rb"PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")
"""In a text; libraries of cryptography have keys for tests of themselves."""


def recipe():
    """How the Dockerfile has the image run."""
    build = runpy.run_path(str(ROOT / "image" / "build"), run_name="recipe")
    return build["last_stage"]((ROOT / "image" / "Dockerfile").read_text())


class TestRecipe:
    def test_how_it_runs(self):
        """The image starts the program as nobody, in a directory that can be written."""
        found = recipe()
        assert found["Entrypoint"] == ["reprocess"]
        assert found["User"] == "10001:10001"
        assert found["WorkingDir"] == "/tmp"
        assert "XDG_CACHE_HOME=/var/cache/reprocess" in found["Env"]
        assert found["Env"][0].startswith("PATH=/opt/reprocess/bin:")
        assert found["Labels"]["org.opencontainers.image.version"] == __version__

    @needs_kubectl
    def test_pods_run_it_as_it_is(self):
        """Pods name no command of their own, and the same user."""
        user, group = (int(each) for each in recipe()["User"].split(":"))
        for pod in (pod for document in overlay_of("s3") for pod in pods(document)):
            assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (user, group)
            assert not any("command" in container for container in pod["containers"])

    def test_last_stage_only(self):
        """What earlier stages set does not count."""
        last_stage = runpy.run_path(str(ROOT / "image" / "build"), run_name="recipe")["last_stage"]
        text = 'FROM a AS b\nENV X=1\nUSER root\nFROM scratch\nENV Y="2 3"\nLABEL a=b\nENTRYPOINT ["p", "q"]\n'
        assert last_stage(text) == {"Env": ["Y=2 3"], "Labels": {"a": "b"}, "Entrypoint": ["p", "q"]}

    def test_one_script_fills_all(self):
        """The Dockerfile installs nothing that the build without an engine would not."""
        last = (ROOT / "image" / "Dockerfile").read_text().rpartition("FROM scratch")[2]
        assert "RUN" not in last
        assert "/source/image/fill /rootfs" in (ROOT / "image" / "Dockerfile").read_text()

    def test_the_base_can_be_pinned(self):
        """Who builds may name another base, by its digest; what it has is left as it is."""
        text = (ROOT / "image" / "Dockerfile").read_text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert lines[:2] == ["ARG BASE=debian:bookworm-slim", "FROM ${BASE} AS base"]
        (first, second) = re.findall(r"apt-get install (.*)", text)
        assert "--no-upgrade" in first
        assert "AS filled" in text[text.index(first) : text.index(second)]  # of which nothing is in the image

    def test_pip_takes_its_options(self):
        """Options that the script gives to each command of pip are ones that pip knows for all commands."""
        (options,) = re.findall(r'^pip\(\) \{ "\$python" -m pip (.*) "\$@"; \}$', FILL.read_text(), re.MULTILINE)
        command = [sys.executable, "-m", "pip", *options.split(), "help", "wheel"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr

    def test_nothing_else_is_sent_to_a_builder(self):
        """What is not part of the image is not in its context: no credentials, no test data, no environment."""
        lines = (ROOT / "image" / "Dockerfile.dockerignore").read_text().splitlines()
        assert lines[0] == "*"
        assert {line[1:] for line in lines if line.startswith("!")} == {
            "LICENSE",
            "README.md",
            "constraints.txt",
            "image",
            "pyproject.toml",
            "reprocess",
        }


CAMPAIGN = """
cd /tmp
reprocess simulate sky --exposures 4 --shape 64x64 --groups 4
reprocess init archive --raw sky/raw --references sky/crds
reprocess scan archive
digest=$(reprocess plan archive --target sky/targets/first.toml | awk '$1 == "plan" {print $2}')
reprocess run archive "$digest" --workers 1 --json
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two images from the same base and sources."""
    directory = tmp_path_factory.mktemp("image")
    source = directory / "source"
    for name in ("image", "reprocess"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    for name in ("first.tar", "second.tar"):
        command = [source / "image" / "build", BASE, directory / name, "--name", "reprocess:test"]
        subprocess.run(command, check=True, env={**os.environ, "PYTHON": sys.executable, "REVISION": "tested"})
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def root(built):
    """The root filesystem of the image."""
    directory = built / "root"
    directory.mkdir()
    with tarfile.open(built / "first.tar") as image:
        (manifest,) = json.load(image.extractfile("manifest.json"))
        (layer,) = manifest["Layers"]
        image.extract(layer, built, filter="data")
    subprocess.run(["tar", "-xf", built / layer, "--numeric-owner", "-C", directory], check=True)
    return directory


def files_of(root):
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


@built_here
@pytest.mark.slow
class TestBuilt:
    def test_the_same_twice(self, built):
        """Two builds are equal to the last byte."""
        digests = [hashlib.sha256((built / name).read_bytes()).hexdigest() for name in ("first.tar", "second.tar")]
        assert digests[0] == digests[1]

    def test_it_starts(self, root):
        """The program runs in it, and says which version it is."""
        told = subprocess.run(
            ["/usr/sbin/chroot", "--userspec=10001:10001", root, "/opt/reprocess/bin/reprocess", "--version"],
            capture_output=True,
            text=True,
            check=True,
            env={"HOME": "/tmp"},
        )
        assert __version__ in told.stdout
        assert f"version={__version__}\n" in (root / "opt/reprocess/release").read_text()

    def test_a_campaign_runs(self, root):
        """A whole campaign runs in it, as nobody, with worker processes and nothing from this machine."""
        setting = f'mount -t proc proc {root}/proc; mount --rbind /dev {root}/dev; chmod 1777 {root}/tmp; exec "$@"'
        enter = ["/usr/sbin/chroot", "--userspec=10001:10001", root, "/bin/sh", "-ec", CAMPAIGN]
        told = subprocess.run(
            ["unshare", "--mount", "/bin/sh", "-ec", setting, "sh", *enter],
            capture_output=True,
            text=True,
            check=False,
            env=dict(word.split("=", 1) for word in recipe()["Env"]) | {"XDG_CACHE_HOME": "/tmp/cache"},
        )
        assert told.returncode == 0, told.stderr
        assert '"published": 4' in told.stdout

    def test_everything_is_compiled(self, root):
        """No module is compiled at each start: a compiled one lies beside each, and is good whatever the time."""
        lib = root / "opt/reprocess/lib/python3.11/site-packages"
        compiled = lib / "reprocess/__pycache__/cli.cpython-311.pyc"
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0"  # by content, and not compared with its source
        missing = [
            path
            for path in (lib / "reprocess").rglob("*.py")
            if not (path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc").exists()
        ]
        assert not missing

    def test_packages(self, root):
        """The packages are those of the constraints, at these versions, and none that only developers need."""
        pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
        found = dict(line.split("==") for line in (root / "opt/reprocess/packages.txt").read_text().split())
        assert found.pop("reprocess") == __version__

        def plain(names):
            return {re.sub(r"[-_.]+", "_", name).lower(): version for name, version in names.items()}

        assert plain(found).items() <= plain(pinned).items()
        assert not plain(found).keys() & {"pytest", "mypy", "ruff", "moto", "hypothesis", "pip", "setuptools"}

    def test_no_compiler(self, root):
        """Neither compilers nor what fetches programs are in it."""
        names = ["/" + str(path.relative_to(root)) for path in root.rglob("*")]
        assert not [name for name in names if LEFT_OUT.search(name)]

    def test_no_secrets(self, root):
        """No key is in it, nor the index or mirror that it was made from."""
        places = [os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTPS_PROXY")]
        hosts = {each.encode() for place in places for each in re.findall(r"://(?:[^/@]*@)?([^/:]+)", place)}
        for path in files_of(root):
            content = path.read_bytes()
            assert not SECRETS.search(content), path
            assert b"\0" in content or not KEY.search(content), path
            assert not [host for host in hosts if host in content], path

    def test_nobody_becomes_root(self, root):
        """No file makes its caller another user, and what the program is made of belongs to root."""
        for path in files_of(root):
            status = path.stat()
            assert not status.st_mode & 0o6000, path
        program = [path.lstat() for path in (root / "opt/reprocess").rglob("*")]
        assert {(each.st_uid, each.st_gid) for each in program} == {(0, 0)}
        assert not [each for each in files_of(root / "opt/reprocess") if each.stat().st_mode & 0o022]
