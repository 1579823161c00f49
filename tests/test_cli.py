import functools
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from reprocess import __version__, campaign, cli, cli_inspection, cli_options, coordinator, inspection
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.storage import open_store
from reprocess.storage.s3_clients import forget
from tests import trips

COMMANDS = [
    "init",
    "scan",
    "plan",
    "run",
    "sweep",
    "pause",
    "resume",
    "cancel",
    "priority",
    "approve",
    "retry",
    "status",
    "report",
    "explain",
    "get",
    "rollback",
    "release",
    "retire",
    "hold",
    "unhold",
    "holds",
    "clean",
    "verify",
    "events",
    "subscribe",
    "subscriptions",
    "unsubscribe",
    "deliver",
    "logs",
    "submit",
    "worker",
    "drain",
    "tidy",
    "calibrate",
    "references",
    "find",
    "accept",
    "reject",
    "simulate",
    "demo",
    "bench",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a simulated archive; nobody changes it."""
    folder = tmp_path_factory.mktemp("cli")
    trips.copy(trips.simulated(trips.TINY), open_store(str(folder / "sim")))
    return folder


@pytest.fixture
def archive(reprocess, place, tmp_path):
    """A scanned archive in the working directory, by its name."""
    reprocess("init", "arc", "--raw", place / "sim/raw", "--references", place / "sim/crds")
    reprocess("scan", "arc")
    return "arc"


def target(place, name="first"):
    return place / f"sim/targets/{name}.toml"


def planned(result):
    """The first of the lines that `plan --json` prints: the plan."""
    return json.loads(result.stdout.splitlines()[0])


def lines(call, text):
    """What a command prints, one JSON value each: `plan` prints lines, the others one value."""
    return text.splitlines() if call[0] == "plan" else [text]


@pytest.fixture
def digest(reprocess, archive, place):
    """Digest of a plan that has not run."""
    return planned(reprocess("plan", archive, "--target", target(place), "--json"))["digest"]


def refused(result):
    """The one line on standard error; nothing on standard output."""
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("reprocess: ")
    return line


class TestTrip:
    """The commands in their order."""

    def test_words_lead_from_one_command_to_the_next(self, reprocess, place, tmp_path):
        """Each command that needs a next one prints it, and typing what was printed works."""
        out = reprocess("init", "arc", "--raw", place / "sim/raw", "--references", place / "sim/crds").stdout
        assert out.strip().endswith("reprocess scan arc")
        assert "2 objects: 2 new" in reprocess("scan", "arc").stdout
        out = reprocess("plan", "arc", "--target", target(place)).stdout
        command = out.strip().splitlines()[-1].removeprefix("Next: reprocess ").split()
        assert "Closing sum: 2 candidates published 2" in " ".join(reprocess(*command).stdout.split())
        digest = command[-1]
        assert "2 of 2 candidates have ended" in reprocess("status", "arc", digest).stdout
        assert "Closing sum: 2 candidates" in reprocess("report", "arc", digest).stdout
        assert "2 versions, 8 files: all as their manifests say" in reprocess("verify", "arc").stdout
        reprocess("report", "arc", digest, "--output", "r.html")
        assert "<html" in (tmp_path / "r.html").read_text()
        dataset = next(iter(trips.shown(campaign.open_archive("arc", trips.settings()))))
        assert "What readers see" in reprocess("explain", "arc", dataset).stdout
        assert "It is" in reprocess("explain", "arc", dataset, "--target", target(place, "second")).stdout

    def test_json_and_nothing_else(self, reprocess, archive, place, digest):
        """With --json standard output is one JSON value and standard error is empty."""
        calls = [
            ("scan", archive),
            ("plan", archive, "--target", target(place)),
            ("run", archive, digest),
            ("status", archive, digest),
            ("report", archive, digest),
            ("verify", archive),
        ]
        for call in calls:
            result = reprocess(*call, "--json")
            assert [json.loads(line) for line in lines(call, result.stdout)], call
            assert result.stderr == "", call
        result = reprocess("simulate", "made", "--exposures", 1, "--shape", "32x32", "--json")
        assert json.loads(result.stdout)["kind"] == "expected"

    def test_json_with_a_file(self, reprocess, archive, digest):
        """A page that is written besides is announced on standard error."""
        reprocess("run", archive, digest)
        result = reprocess("report", archive, digest, "--output", "r.html", "--json")

        assert json.loads(result.stdout)["closes"] is True
        assert "r.html written" in result.stderr

    def test_init_twice(self, reprocess, archive, place):
        """The same archive may be made again; another one in its place may not."""
        reprocess("init", archive, "--raw", place / "sim/raw", "--references", place / "sim/crds")
        line = refused(reprocess("init", archive, "--raw", place / "other", code=2))

        assert "archive already" in line

    def test_settings_weigh_less_than_flags(self, reprocess, archive, digest, tmp_path, monkeypatch):
        """File, environment, flag: the later one decides where the work is done."""
        (tmp_path / "reprocess.toml").write_text('[execution]\nscheduler = "serial"\n')
        monkeypatch.setenv("REPROCESS_EXECUTION_SCHEDULER", "nonsense")
        assert "'nonsense'" in refused(reprocess("run", archive, digest, code=2))
        assert "'rubbish'" in refused(reprocess("run", archive, digest, "--scheduler", "rubbish", code=2))
        reprocess("run", archive, digest, "--scheduler", "serial")
        monkeypatch.delenv("REPROCESS_EXECUTION_SCHEDULER")
        reprocess("run", archive, digest)

    def test_simulate_twice(self, reprocess, place):
        """A simulated archive is not written over."""
        assert "exists" in refused(reprocess("simulate", place / "sim", "--exposures", 1, "--shape", "32x32", code=3))


class TestLooking:
    """`status` and `explain`."""

    def test_how_far_and_how_much_is_stale(self, reprocess, archive, digest, place):
        """Without a digest the plans are listed, and then what is stale; before any plan the text says what to do."""
        reprocess("init", "arc2", "--raw", place / "sim/raw", "--references", place / "sim/crds")
        assert "Nothing was planned yet" in reprocess("status", "arc2").stdout
        text = " ".join(reprocess("status", archive).stdout.split())
        record = json.loads(reprocess("status", archive, "--json").stdout)

        assert f"{digest[:16]} " in text
        assert "0 of 2 exposures are stale" in text
        assert [(each["digest"], each["to_do"], each["state"]) for each in record["plans"]] == [(digest, 2, "planned")]
        assert [each["states"]["missing"]["count"] for each in record["staleness"]] == [2]

    def test_as_many_as_are_asked_for(self, reprocess, archive, digest, place):
        """--last bounds both lists."""
        reprocess("plan", archive, "--target", target(place, "second"))
        record = json.loads(reprocess("status", archive, "--last", 1, "--json").stdout)

        assert (len(record["plans"]), len(record["staleness"])) == (1, 1)
        assert record["plans"][0]["digest"] != digest

    def test_a_campaign_that_has_not_ended(self, reprocess, archive, digest):
        """Before the run its status says how many are to do and raises no alarm; JSON says the same."""
        text = reprocess("status", archive, digest).stdout
        record = json.loads(reprocess("status", archive, digest, "--json").stdout)

        assert "still to do  2" in text
        assert "DOES NOT CLOSE" not in text
        assert (record["to_do"], record["ended"], record["remainder"]) == (2, False, [])

    def test_watching_ends_with_the_campaign(self, reprocess, archive, digest, monkeypatch):
        """--watch shows a campaign again and again until it has ended; with --json each time one line."""

        def work(_):
            reprocess("run", archive, digest, "--json")

        monkeypatch.setattr(cli_inspection, "time", SimpleNamespace(sleep=work))
        first, last = map(json.loads, reprocess("status", archive, digest, "--watch", "--json").stdout.splitlines())

        assert (first["over"], first["to_do"], last["over"], last["to_do"]) == (False, 2, True, 0)
        assert "The campaign has ended" in reprocess("status", archive, digest, "--watch").stdout

    def test_watching_can_be_interrupted(self, reprocess, archive, digest, monkeypatch):
        """An interrupt ends --watch with 130, and the campaign does not care."""

        def interrupt(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(cli_inspection, "time", SimpleNamespace(sleep=interrupt))

        assert "nobody has begun it" in reprocess("status", archive, digest, "--watch", code=130).stdout

    def test_watching_needs_a_campaign(self, reprocess, archive):
        """--watch without a digest is refused."""
        assert "digest" in refused(reprocess("status", archive, "--watch", code=2))

    def test_metrics(self, reprocess, archive, place):
        """--prometheus prints metrics and nothing else; before any judgement it says what to do."""
        assert "reprocess plan" in refused(reprocess("status", archive, "--prometheus", code=2))
        reprocess("plan", archive, "--target", target(place))
        result = reprocess("status", archive, "--prometheus")

        assert 'reprocess_exposures{instrument="NIRCAM",state="missing"} 2.0' in result.stdout.splitlines()
        assert result.stderr == ""

    def test_metrics_are_of_the_whole_archive(self, reprocess, archive, digest):
        """Metrics of one campaign are refused."""
        assert "digest" in refused(reprocess("status", archive, digest, "--prometheus", code=2))

    def test_a_story_for_scripts(self, reprocess, archive, digest):
        """`explain --json` is one object, and takes the name of a file."""
        reprocess("run", archive, digest)
        dataset = next(iter(trips.shown(campaign.open_archive(archive, trips.settings()))))
        record = json.loads(reprocess("explain", archive, f"x/{dataset}_rate.fits", "--json").stdout)

        assert (record["dataset"], record["verdict"]) == (dataset, "current")
        assert set(record["published"]) >= {"version", "software", "context", "made"}

    def test_a_name_that_is_nearly_right(self, reprocess, archive, digest):
        """The error tells the nearest names."""
        assert "nearest are jw0" in refused(reprocess("explain", archive, "jw01234001001_02101_00001_nrca9", code=2))


class TestExitCodes:
    """What a script learns."""

    def test_failures(self, reprocess, archive, digest, place, tmp_path):
        """1 when some candidates failed: the others are published, and the message names the failed one."""
        store = trips.copy(open_store(str(place / "sim")), open_store(str(tmp_path / "sim")))
        key = next(stamp.key for stamp in store.list("raw/"))
        store.put(key, store.get(key).data[:9000])
        reprocess("init", "arc2", "--raw", tmp_path / "sim/raw", "--references", place / "sim/crds")
        reprocess("scan", "arc2")
        made = planned(reprocess("plan", "arc2", "--target", target(place), "--json"))
        result = reprocess("run", "arc2", made["digest"], "--json", code=1)
        record = json.loads(result.stdout)

        assert (record["failed"], record["classes"]["published"], record["closes"]) == (1, 1, True)
        reprocess("run", "arc2", made["digest"], code=1)

    def test_unsupported_is_no_failure(self, reprocess, place, tmp_path):
        """0 when all there was is of a kind that is not calibrated."""
        store = trips.copy(open_store(str(place / "sim")), open_store(str(tmp_path / "sim")))
        for stamp in list(store.list("raw/")):
            store.put(stamp.key, trips.having(store.get(stamp.key).data, "EXP_TYPE", "'NRC_NEW'"))
        reprocess("init", "arc", "--raw", tmp_path / "sim/raw", "--references", place / "sim/crds")
        reprocess("scan", "arc")
        digest = planned(reprocess("plan", "arc", "--target", target(place), "--json"))["digest"]

        assert json.loads(reprocess("run", "arc", digest, "--json").stdout)["classes"]["unsupported"] == 2

    def test_damage(self, reprocess, archive, digest):
        """4 when a check finds damage, and every problem is a line."""
        reprocess("run", archive, digest)
        opened = campaign.open_archive(archive, trips.settings())
        key = next(key for key in trips.products(opened) if key.endswith("_rate.fits"))
        opened.store.put(key, b"damaged")

        assert key in reprocess("verify", archive, code=4).stdout
        assert key in json.loads(reprocess("verify", archive, "--json", code=4).stdout)["problems"][0]

    @pytest.mark.parametrize(
        "words",
        [
            ("scan", "http://example.org/x"),
            ("scan", "s3://"),
            ("scan", "s3://user:secret@bucket"),
            ("init", "arc", "--raw", ""),
            ("init", "arc", "--raw", "x", "--key-pattern", "("),
            ("init", "arc", "--raw", "x", "--key-pattern", "x"),
            ("run", "ARCHIVE", "abc"),
            ("run", "ARCHIVE", "0" * 64),
            ("run", "ARCHIVE", "DIGEST", "--workers", "-1", "--scheduler", ""),
            ("run", "ARCHIVE", "DIGEST", "--memory-limit", "0"),
            ("run", "ARCHIVE", "DIGEST", "--memory-limit", "-1", "--scheduler", ""),
            ("run", "ARCHIVE", "DIGEST", "--scheduler", "tcp://"),
            ("run", "ARCHIVE", "DIGEST", "--scheduler", "tcp://nonsense:port"),
            ("status", "ARCHIVE", "xyz"),
            ("explain", "ARCHIVE", "nobody"),
            ("explain", "ARCHIVE", "../../x"),
            ("plan", "ARCHIVE", "--target", "none.toml"),
            ("plan", "ARCHIVE", "--target", "."),
            ("plan", "ARCHIVE", "--target", "bad.toml"),
            ("plan", "ARCHIVE", "--target", "binary.toml"),
            ("report", "ARCHIVE", "DIGEST", "--output", "none/r.html"),
            ("simulate", "made", "--shape", "32"),
            ("simulate", "made", "--shape", "31x31"),
            ("simulate", "made", "--instrument", "HST"),
            ("simulate", "made", "--exposures", "0"),
            ("calibrate", "none.fits", "--output-dir", "."),
            ("calibrate", "bad.toml", "--output-dir", "bad.toml"),
            ("calibrate", "bad.toml", "--output-dir", "out", "--reference", "gain"),
            ("demo", "--output-dir", "bad.toml"),
            ("demo", "--workers", "0"),
        ],
        ids=" ".join,
    )
    def test_wrong_requests(self, reprocess, archive, digest, tmp_path, words):
        """2 when the request is wrong; the last line on standard error says what, without a trace or a secret."""
        (tmp_path / "bad.toml").write_text("context = \n")
        (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
        result = reprocess(*({"ARCHIVE": archive, "DIGEST": digest}.get(word, word) for word in words), code=2)

        assert result.stdout == ""
        assert result.stderr.strip()
        assert "secret" not in result.stderr
        assert len(result.stderr.strip().splitlines()[-1]) < 500

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("REPROCESS_EXECUTION_WORKERS", "many"),
            ("REPROCESS_STORAGE_ANONYMOUS", "perhaps"),
            ("REPROCESS_SETTINGS", "none.toml"),
        ],
    )
    def test_wrong_settings(self, reprocess, archive, monkeypatch, name, value):
        """2 when a setting is wrong; it is named."""
        monkeypatch.setenv(name, value)

        assert name in refused(reprocess("scan", archive, code=2))

    def test_an_interrupt(self, reprocess, archive, monkeypatch):
        """130 on an interrupt, with a word on how to go on."""

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(campaign, "scan", interrupted)

        assert "run the same command again" in reprocess("scan", archive, code=130).stderr

    def test_a_remainder(self, reprocess, archive, digest, monkeypatch):
        """4 when the sum does not close."""

        def nothing(opened, digest, **_):
            return inspection.status(opened, digest)

        monkeypatch.setattr(coordinator, "run", nothing)

        reprocess("run", archive, digest, code=4)


class TestStorage:
    """3 when the store refuses or does not answer."""

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @pytest.fixture
    def keys(self, monkeypatch):
        """Made-up credentials."""
        forget()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield
        forget()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "words", [("scan", "s3://bucket/x"), ("init", "s3://bucket/x", "--raw", "s3://bucket/raw")]
    )
    def test_nobody_answers(self, reprocess, keys, words):
        """An endpoint where nothing listens is given up in less than a minute, and is named."""
        begin = time.monotonic()
        endpoint = f"http://127.0.0.1:{self.free_port()}"
        line = refused(reprocess("--endpoint", endpoint, *words, code=3))

        assert time.monotonic() - begin < 60
        assert "s3://bucket" in line
        assert "endpoint" in line
        assert "made-up-secret" not in line

    def test_no_credentials(self, reprocess, monkeypatch):
        """Without credentials the message names the bucket and the ways to give some."""
        forget()
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        line = refused(reprocess("scan", "s3://bucket/x", code=3))
        forget()

        assert "s3://bucket" in line
        assert "AWS_PROFILE" in line

    def test_a_profile_that_does_not_exist(self, reprocess, keys):
        """A profile that nobody set up is refused."""
        assert "profile" in refused(reprocess("--profile", "nobody", "scan", "s3://bucket/x", code=3)).lower()

    def test_a_scheduler_that_does_not_answer(self, reprocess, archive, digest, monkeypatch):
        """2 within a minute when no scheduler answers at the address that was given."""
        connect = DaskExecutor.connect
        assert inspect.signature(connect).parameters["timeout_s"].default <= 30
        monkeypatch.setattr(DaskExecutor, "connect", functools.partial(connect, timeout_s=2))
        begin = time.monotonic()
        address = f"tcp://127.0.0.1:{self.free_port()}"
        line = refused(reprocess("run", archive, digest, "--scheduler", address, code=2))

        assert time.monotonic() - begin < 30
        assert address in line
        assert "--scheduler" in line

    def test_an_archive_that_is_not_there(self, reprocess):
        """A root that does not exist is named, with the command that makes it."""
        assert "reprocess init" in refused(reprocess("scan", "nowhere", code=2))

    def test_a_raw_directory_that_is_not_there(self, reprocess, tmp_path):
        """A raw location that does not exist is named."""
        reprocess("init", "arc", "--raw", tmp_path / "none")

        assert "none" in refused(reprocess("scan", "arc", code=3))


class TestHelp:
    """What a newcomer reads."""

    def test_the_whole(self, reprocess):
        """The trip is told in commands, exit codes and settings are told, and all commands are listed in order."""
        text = reprocess("--help").stdout
        places = [text.index(f"\n  {name} ") for name in COMMANDS]

        assert places == sorted(places)
        for word in ("reprocess init ", "reprocess run ", "Exit codes:", "REPROCESS_", "AWS_ENDPOINT_URL"):
            assert word in text

    @pytest.mark.parametrize("name", COMMANDS)
    def test_of_each_command(self, reprocess, name):
        """Each command says in a sentence what it does, and each option has words."""
        text = reprocess(name, "--help").stdout
        body, _, options = text.partition("Options:")

        assert any(line.strip().endswith((".", ":")) or "." in line for line in body.splitlines()[2:])
        lines = [line for line in options.splitlines() if line.startswith("  -")]
        assert lines
        assert all(len(line.split("  ")) > 2 or line.rstrip().endswith(".") for line in lines), lines
        assert reprocess(name, "-h").stdout == text

    def test_every_command_is_tested_here(self):
        """The list above is the list of commands."""
        assert list(cli.main.commands) == COMMANDS

    def test_the_version(self, reprocess):
        """--version prints name and version."""
        assert reprocess("--version").stdout.strip() == f"reprocess, version {__version__}"

    def test_documented_exit_codes(self):
        """The codes in the help are those of the module."""
        codes = {value for name, value in vars(cli_options).items() if name.startswith("EXIT_")}
        told = cli.main.epilog.partition("Exit codes:")[2]

        assert codes == {1, 2, 3, 4, 5, 6, 7, 70, 130}
        assert {int(code) for code in re.findall(r"\b(\d+) ", told)} == {0, *codes}


class TestCalibrate:
    """One file, without anything around it."""

    @pytest.fixture
    def words(self, place):
        """The options for the first exposure."""
        archive = trips.make(raw=str(place / "sim/raw"), references=str(place / "sim/crds"), options=trips.TINY)
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
        item = made.items[0]
        given = [
            word
            for one in item.references
            for word in ("--reference", f"{one.type}={place / 'sim/crds/references/jwst/nircam' / one.name}")
        ]
        return [place / "sim/raw" / item.entry.key, *given]

    def test_prints_what_it_wrote(self, reprocess, words, tmp_path):
        """Standard output is the paths of the two products, and they are there."""
        paths = reprocess("calibrate", *words, "--output-dir", "out").stdout.split()

        assert [Path(path).name.rpartition("_")[2] for path in paths] == ["rate.fits", "rateints.fits"]
        assert sorted(os.listdir("out")) == sorted(Path(path).name for path in paths)

    @pytest.mark.parametrize(
        ("more", "named"),
        [
            (("--reference", "gain=x"), "twice"),
            (("--skip", "jmp"), "jmp"),
            (("--parameter", "jump.threshold=4"), "threshold"),
            (("--parameter", "jump=4"), "STEP.NAME=VALUE"),
            (("--reference", "flat=x"), "flat"),
        ],
    )
    def test_failures_leave_nothing(self, reprocess, words, more, named):
        """A refused request names the option and leaves no file and no folder."""
        assert named in refused(reprocess("calibrate", *words, *more, "--output-dir", "out", code=2))
        assert not os.path.exists("out")


class TestProcess:
    """The installed program, as a shell calls it."""

    PROGRAM = (sys.executable, "-c", "from reprocess.cli import program; program()")

    def environment(self, tmp_path):
        return {**os.environ, "REPROCESS_CACHE_DIRECTORY": str(tmp_path / "cache"), "HOME": str(tmp_path)}

    def test_starts_quickly_and_without_heavy_libraries(self, tmp_path):
        """--help needs neither Dask nor an S3 client nor astropy."""
        program = (
            "import sys; from reprocess.cli import main\n"
            "try: main(['--help'])\n"
            "except SystemExit: pass\n"
            "print(sorted({'distributed', 'boto3', 'astropy', 'zarr', 'crds', 'pyarrow'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

        assert done.stdout.strip().endswith("[]")

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupt_in_the_middle(self, place, tmp_path, number):
        """A run that gets SIGINT or SIGTERM ends with 130 and no trace, and the same command goes on to the end."""
        archive = trips.make(
            str(tmp_path / "arc"), raw=str(place / "sim/raw"), references=str(place / "sim/crds"), options=trips.TINY
        )
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
        command = [*self.PROGRAM, "run", str(tmp_path / "arc"), made.digest, "--scheduler", "serial", "--json"]
        environment = self.environment(tmp_path)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        deadline = time.monotonic() + 60
        while not list((tmp_path / "arc").glob("references/ready/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)

        assert process.returncode == 130, error
        assert "Traceback" not in error
        again = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["classes"]["published"] == 2

    @pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
    def test_an_interrupt_in_a_finaliser(self, number):
        """An interrupt that meets a finaliser, where Python drops exceptions, ends the program all the same."""
        program = (
            "import os, signal, time; from reprocess import cli\n"
            "class Held:\n"
            "    def __del__(self):\n"
            f"        os.kill(os.getpid(), signal.{number})\n"
            "        time.sleep(0.1)\n"
            "cli._heed_interrupts()\n"
            "try:\n"
            "    held = Held(); del held; time.sleep(30); print('lost')\n"
            "except KeyboardInterrupt: print('heard')"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

        assert done.stdout == "heard\n"

    @pytest.mark.slow
    def test_ends_in_order_after_s3(self, s3_store, s3_endpoint, place, tmp_path):
        """Commands that used S3 end with the code of what they did, time after time."""
        trips.copy(open_store(str(place / "sim")), s3_store)
        environment = {**self.environment(tmp_path), "AWS_ENDPOINT_URL": s3_endpoint}
        archive = f"{s3_store.url}/arc"
        words = [
            ("init", archive, "--raw", f"{s3_store.url}/raw"),
            *[("scan", archive)] * 6,
            *[("verify", archive)] * 6,
        ]

        codes = [
            subprocess.run(
                [*self.PROGRAM, *each], capture_output=True, timeout=60, env=environment, check=False
            ).returncode
            for each in words
        ]

        assert codes == [0] * len(words)

    def test_a_pipe_that_is_closed(self, place, tmp_path):
        """`reprocess ... | head` ends without a trace."""
        command = " ".join(
            [sys.executable, "-c", "'from reprocess.cli import program; program()'", "--help", "| head -1"]
        )
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)

        assert done.stdout.startswith("Usage:")
        assert "Traceback" not in done.stderr
