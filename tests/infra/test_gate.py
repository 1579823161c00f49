"""From a request of S3 to the action that a policy has to allow."""

from __future__ import annotations

import pytest

from tests.infra import gate


def environment(method, path, query="", **headers):
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, **headers}


@pytest.mark.parametrize(
    ("method", "path", "query", "action", "resource"),
    [
        ("GET", "/b", "list-type=2&prefix=a%2F&max-keys=5", "s3:ListBucket", "b"),
        ("HEAD", "/b", "", "s3:ListBucket", "b"),
        ("GET", "/b/a/key", "", "s3:GetObject", "b/a/key"),
        ("HEAD", "/b/a/key", "", "s3:GetObject", "b/a/key"),
        ("PUT", "/b/a/key", "", "s3:PutObject", "b/a/key"),
        ("POST", "/b/a/key", "uploads", "s3:PutObject", "b/a/key"),
        ("PUT", "/b/a/key", "partNumber=1&uploadId=u", "s3:PutObject", "b/a/key"),
        ("POST", "/b/a/key", "uploadId=u", "s3:PutObject", "b/a/key"),
        ("DELETE", "/b/a/key", "uploadId=u", "s3:AbortMultipartUpload", "b/a/key"),
        ("DELETE", "/b/a/key", "", "s3:DeleteObject", "b/a/key"),
    ],
)
def test_actions(method, path, query, action, resource):
    """Each request needs the action that the reference of S3 names for it."""
    found = gate.asked(environment(method, path, query))
    assert (found.action, found.resource) == (action, resource)


def test_facts():
    """Conditions see prefixes of lists, conditions of writes, and whether a request makes an object appear."""
    assert gate.asked(environment("GET", "/b", "prefix=a%2F")).facts == {"s3__prefix": "a/"}
    assert gate.asked(environment("GET", "/b")).facts == {}
    put = gate.asked(environment("PUT", "/b/k", HTTP_IF_NONE_MATCH="*")).facts
    assert put == {"s3__if_none_match": "*", "s3__ObjectCreationOperation": "true"}
    cipher = {"HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION": "aws:kms", "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID": "k"}
    found = gate.asked(environment("PUT", "/b/k", **cipher)).facts
    assert found["s3__x_amz_server_side_encryption"] == "aws:kms"
    assert found["s3__x_amz_server_side_encryption_aws_kms_key_id"] == "k"
    parts = (("POST", "uploads", "false"), ("PUT", "partNumber=1&uploadId=u", "false"), ("POST", "uploadId=u", "true"))
    for method, query, creates in parts:
        assert gate.asked(environment(method, "/b/k", query)).facts == {"s3__ObjectCreationOperation": creates}
    assert gate.asked(environment("DELETE", "/b/k", HTTP_IF_MATCH='"e"')).facts["s3__if_match"] == '"e"'


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("PUT", "/b", ""),
        ("PUT", "/b/k", "acl"),
        ("GET", "/b", "versions"),
        ("GET", "/b", "uploads"),
        ("GET", "/b/k", "versionId=1"),
        ("POST", "/b", "delete"),
    ],
)
def test_what_nobody_sends(method, path, query):
    """A request that the programme does not send today is not guessed at."""
    with pytest.raises(NotImplementedError):
        gate.asked(environment(method, path, query))
    with pytest.raises(NotImplementedError):
        gate.asked(environment("PUT", "/b/k", HTTP_X_AMZ_COPY_SOURCE="/b/other"))
