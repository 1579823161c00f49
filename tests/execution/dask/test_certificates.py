from __future__ import annotations

import contextlib
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from distributed import Client, Security

from reprocess import errors
from reprocess.execution.dask import certificates
from tests.execution.dask import dask_processes

NAMES = ("reprocess-run.campaigns.svc", "10.1.2.3", "localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def files():
    return certificates.issue(NAMES, days=30)


def read(files, role) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files[f"{role}.pem"])


class TestIssue:
    """What is made."""

    @pytest.mark.parametrize("role", certificates.ROLES)
    def test_signed(self, files, role):
        """Each certificate is signed by the run's authority, belongs to its key, and serves both ends."""
        certificate = read(files, role)
        key = load_pem_private_key(files[f"{role}.key"], password=None)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

        certificate.verify_directly_issued_by(read(files, "ca"))
        assert certificate.public_key() == key.public_key()
        assert {one._name for one in usage} == {"serverAuth", "clientAuth"}

    def test_names(self, files):
        """The scheduler's certificate has its names and addresses; the others have none."""
        found = read(files, "scheduler").extensions.get_extension_for_class(x509.SubjectAlternativeName).value

        assert found.get_values_for_type(x509.DNSName) == ["reprocess-run.campaigns.svc", "localhost"]
        assert list(map(str, found.get_values_for_type(x509.IPAddress))) == ["10.1.2.3", "127.0.0.1"]
        with pytest.raises(x509.ExtensionNotFound):
            read(files, "worker").extensions.get_extension_for_class(x509.SubjectAlternativeName)

    @pytest.mark.parametrize("role", ["ca", *certificates.ROLES])
    def test_validity(self, files, role):
        """All are valid from a little before now for so many days."""
        certificate, now = read(files, role), datetime.now(UTC)

        assert certificate.not_valid_before_utc < now - timedelta(minutes=30)
        assert timedelta(days=29) < certificate.not_valid_after_utc - now <= timedelta(days=30)

    def test_the_authority_is_forgotten(self, files):
        """The key of the authority is in none of the files: nobody can sign another certificate."""
        keys = [name for name, content in files.items() if b"PRIVATE KEY" in content]
        authority = read(files, "ca").public_key()

        assert sorted(keys) == ["client.key", "scheduler.key", "worker.key"]
        assert all(load_pem_private_key(files[name], password=None).public_key() != authority for name in keys)

    def test_no_time(self):
        """Certificates of no day are refused."""
        with pytest.raises(errors.UsageError, match="for 0 days; give one day at least"):
            certificates.issue(NAMES, days=0)


class TestWrite:
    """Files on disk."""

    def test_only_the_owner(self, files, tmp_path):
        """Only the owner can read them, also where others lay there before."""
        directory = tmp_path / "tls"
        directory.mkdir()
        (directory / "worker.key").write_text("somebody can read this")
        (directory / "worker.key").chmod(0o644)
        certificates.write(files, directory)

        assert {path.name: path.read_bytes() for path in directory.iterdir()} == files
        assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}

    def test_no_directory(self, files, tmp_path):
        """A place that cannot be written is named."""
        (tmp_path / "file").touch()
        with pytest.raises(errors.UsageError, match=r"cannot be written to .*file/tls"):
            certificates.write(files, tmp_path / "file" / "tls")


class TestOptions:
    """What Dask is told."""

    def test_one_role(self, files, tmp_path):
        """A worker is told its own files only, and accepts nothing that is not encrypted by TLS 1.3."""
        certificates.write({name: files[name] for name in ("ca.pem", "worker.pem", "worker.key")}, tmp_path)
        security = Security(**certificates.options(tmp_path, "worker"))

        assert security.require_encryption
        assert security.tls_min_version == ssl.TLSVersion.TLSv1_3
        assert security.get_connection_args("worker")["ssl_context"].verify_mode == ssl.CERT_REQUIRED
        assert security.tls_client_key is None

    def test_missing(self, tmp_path):
        """A file that is not there is named, before Dask looks for it."""
        with pytest.raises(errors.UsageError, match=r"ca\.pem is missing"):
            certificates.options(tmp_path, "worker")


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A scheduler and a worker of one run."""
    directory = tmp_path_factory.mktemp("run")
    certificates.write(files, directory)
    words = ("--protocol=tls", *dask_processes.tls_words(directory, "scheduler"))
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(dask_processes.scheduler(directory, *words))
        own = dask_processes.tls_words(directory, "worker")
        stack.enter_context(dask_processes.worker(directory, address, "w", *own))
        yield directory, address


class TestProcesses:
    """Real processes on the loopback address."""

    @pytest.fixture
    def other(self, tmp_path):
        """Certificates of another run."""
        certificates.write(certificates.issue(NAMES), tmp_path)
        return tmp_path

    def connect(self, address: str, directory: Path | None) -> Client:
        security = Security(**certificates.options(directory, "client")) if directory else Security()
        return Client(address, security=security, timeout=5, set_as_default=False)

    def test_encrypted(self, run):
        """Scheduler, worker and client of one run work together, all by TLS."""
        directory, address = run
        with self.connect(address, directory) as client:
            client.wait_for_workers(1, timeout=60)

            assert client.submit(sum, [40, 2]).result(timeout=60) == 42
            assert address.startswith("tls://")
            assert all(each.startswith("tls://") for each in client.scheduler_info()["workers"])

    def test_another_client(self, run, other):
        """A client with a certificate of another run is refused."""
        with pytest.raises(OSError, match="TLS certificate does not match"):
            self.connect(run[1], other)

    @pytest.mark.parametrize("certified", [False, True])
    def test_a_careless_client(self, run, other, certified):
        """The scheduler itself refuses who has no certificate of the run, also one who does not look at its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certified:
            context.load_cert_chain(other / "client.pem", other / "client.key")
        host, port = run[1].removeprefix("tls://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as plain:
            encrypted = context.wrap_socket(plain)
            with pytest.raises(ssl.SSLError, match="alert"):
                encrypted.recv(1024)

    def test_a_plain_client(self, run):
        """A client without TLS is refused."""
        with pytest.raises(OSError, match=r"closed|Timed out"):
            self.connect(run[1].replace("tls://", "tcp://"), None)

    def test_another_worker(self, run, other):
        """A worker with a certificate of another run does not get in, and gives up."""
        directory, address = run
        words = ["--death-timeout=3", "--no-nanny", *dask_processes.tls_words(other, "worker")]
        with dask_processes.worker(other, address, "intruder", *words) as process:
            process.wait(timeout=60)
        with self.connect(address, directory) as client:
            names = {each["name"] for each in client.scheduler_info()["workers"].values()}

        assert names == {"w"}

    def test_the_logs(self, run):
        """No process writes a key into its log."""
        directory, _ = run
        logs = [path.read_text() for path in directory.glob("*.log")]

        assert len(logs) == 2
        assert not any("PRIVATE KEY" in text for text in logs)
