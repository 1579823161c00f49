"""What must never be written down."""

import json
import logging

import pytest

from reprocess import logs, redaction

PLANTED = "tOp5ecretV4lue/+x"


def clean(text, **environment):
    return redaction.clean(text, environment)


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{PLANTED}@host/path does not answer",
        f"GET https://b.s3.amazonaws.com/k?X-Amz-Algorithm=a&X-Amz-Signature={PLANTED}&x=1",
        f"https://b.s3.amazonaws.com/k?versionId=1&X-Amz-Security-Token={PLANTED}",
        f"https://b.s3.amazonaws.com/k?Expires=1&Signature={PLANTED}",
        f"https://hooks.example/x?sig={PLANTED}",
        f"https://hooks.example/x?access_token={PLANTED}",
        f"{{'Authorization': 'Bearer {PLANTED}'}}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=x, Signature={PLANTED}",
        f"aws_secret_access_key = {PLANTED}",
        f'{{"SessionToken": "{PLANTED}"}}',
        f"Session(aws_session_token='{PLANTED}')",
        f"password={PLANTED}",
    ],
)
def test_what_looks_like_a_secret(text):
    """A value that stands where secrets stand is taken out, and the words around it stay."""
    assert PLANTED not in clean(text)
    assert redaction.MASK in clean(text)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MY_API_KEY", "DB_PASSWORD"])
def test_variables(name):
    """The value of a secret variable is taken out wherever it stands."""
    assert clean(f"strange {PLANTED}!", **{name: PLANTED}) == f"strange {redaction.MASK}!"


def test_a_value_that_changes(monkeypatch):
    """Credentials that are renewed are known at once."""
    for value in ("first-secret", "second-secret"):
        monkeypatch.setenv("AWS_SESSION_TOKEN", value)
        assert redaction.clean(f"with {value}") == f"with {redaction.MASK}"


def test_key_ids():
    """Amazon's key ids are taken out."""
    assert "AKIAIOSFODNN7EXAMPLE" not in clean("identity AKIAIOSFODNN7EXAMPLE is unknown")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/products/jw01_nrca1/v1-1/manifest.json does not exist (404).",
        "jw01: step jump took 0.25 s; key pattern 'a' does not fit; raw object @ 3",
        "https://host:9000/path?list-type=2&prefix=a",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an identity that may use this bucket.",
        "mail somebody@example.org",
    ],
)
def test_what_is_no_secret(text):
    """Ordinary messages stay as they are."""
    assert clean(text, HOME="/home/jw01", AWS_REGION="us-east-1", TOKEN="s3") == text


def test_logs(monkeypatch, capsys):
    """Planted credentials appear neither in the terminal, in text or JSON, nor in what is kept of a unit."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    logger = logging.getLogger("reprocess")
    before = (list(logger.handlers), logger.level, logger.propagate)
    kept = []
    for log_format in logs.FORMATS:
        logs.set_up(2, log_format)
        with logs.unit(campaign="c", dataset="d", attempt=1) as unit:
            try:
                raise ValueError(f"refused {PLANTED}")
            except ValueError:
                logging.getLogger("reprocess.worker").exception("request to https://u:hunter22@host with %s", PLANTED)
        kept += unit.lines(failed=True)
    logger.handlers[:], logger.level, logger.propagate = before

    written = capsys.readouterr().err + "".join(kept)
    assert written.count(f"ValueError: refused {redaction.MASK}") == 2 * len(logs.FORMATS)
    assert PLANTED not in written
    assert json.dumps(PLANTED)[1:-1] not in written
    assert "hunter22" not in written
