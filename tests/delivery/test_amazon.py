"""Topics and queues, with moto in the place of Amazon."""

import json
import os

import boto3
import pytest
from moto import mock_aws

from reprocess import errors
from reprocess.delivery import message
from reprocess.delivery.amazon import Account, Queue, Topic
from reprocess.delivery.message import Message
from tests.delivery import receivers

MESSAGES = [message.of_event(event, "us") for event in receivers.made(*(f"jw{n:011d}_x" for n in range(13)))]
REGION = "eu-central-1"


@pytest.fixture
def amazon(monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    with mock_aws():
        yield


def queue(name="events"):
    """A new queue, and what reads it empty."""
    client = boto3.client("sqs", region_name=REGION)
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url = client.create_queue(QueueName=name, Attributes=fifo)["QueueUrl"]

    def received():
        found = []
        while some := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for each in some:
                found.append(json.loads(each["Body"]))
                client.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return found

    return url, received


def topic(name="events"):
    """A new topic with a queue behind it, and what reads that."""
    client = boto3.client("sns", region_name=REGION)
    fifo = {"FifoTopic": "true"} if name.endswith(".fifo") else {}
    arn = client.create_topic(Name=name, Attributes=fifo)["TopicArn"]
    url, received = queue("behind.fifo" if fifo else "behind")
    behind = f"arn:aws:sqs:{REGION}:{url.split('/')[-2]}:{url.split('/')[-1]}"
    client.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=behind)
    return arn, received


@pytest.mark.parametrize("name", ["events", "events.fifo"])
def test_queue(amazon, name):
    """Every message arrives in the queue, of any number."""
    url, received = queue(name)
    Queue(url, Account()).send(MESSAGES)

    assert sorted(each["id"] for each in received()) == sorted(each.id for each in MESSAGES)


@pytest.mark.parametrize("name", ["events", "events.fifo"])
def test_topic(amazon, name):
    """Every message arrives behind the topic; its region is that of the ARN."""
    arn, received = topic(name)
    Topic(arn, Account(region="us-west-1")).send(MESSAGES)

    found = [json.loads(each["Message"]) for each in received()]
    assert sorted(each["id"] for each in found) == sorted(each.id for each in MESSAGES)


def test_twice(amazon):
    """A queue that can leaves out a message that was sent before."""
    url, received = queue("events.fifo")
    for _ in range(2):
        Queue(url, Account()).send(MESSAGES[:2])

    assert len(received()) == 2


def test_large_messages(amazon):
    """No request is larger than what Amazon takes."""
    url, received = queue()
    large = [Message(f"{n}", "g", "s", json.dumps({"id": f"{n}", "x": "y" * 120_000})) for n in range(5)]
    Queue(url, Account()).send(large)

    assert sorted(each["id"] for each in received()) == list("01234")


def test_there_is_none(amazon):
    """A topic or queue that is gone is a failure of delivery, with Amazon's code."""
    with pytest.raises(errors.DeliveryError, match="NotFound"):
        Topic(f"arn:aws:sns:{REGION}:123456789012:gone", Account()).send(MESSAGES)
    with pytest.raises(errors.DeliveryError, match="NonExistentQueue"):
        Queue(f"https://sqs.{REGION}.amazonaws.com/123456789012/gone", Account()).send(MESSAGES)


def test_refused_one_by_one(amazon, monkeypatch):
    """A request that was taken in part was not taken."""
    from reprocess.delivery import amazon as room

    class Client:
        def send_message_batch(self, **_):
            return {"Failed": [{"Id": "1", "Code": "InternalError"}]}

    monkeypatch.setattr(room, "_client", lambda *_, **__: Client())
    url, _ = queue()
    with pytest.raises(errors.DeliveryError, match=r"1 of the messages \(InternalError\)"):
        Queue(url, Account()).send(MESSAGES)


def test_no_profile():
    """A profile that does not exist is told."""
    with pytest.raises(errors.DeliveryError, match="ProfileNotFound"):
        Topic(f"arn:aws:sns:{REGION}:123456789012:t", Account(profile="nobody")).send(MESSAGES)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (Topic, "events"),
        (Topic, "arn:aws:sqs:eu-central-1:123456789012:x"),
        (Queue, "events"),
        (Queue, "https://sqs.eu-central-1.amazonaws.com"),
        (Queue, "http://sqs.example.org/1/x"),
        (Queue, "https://me:hunter22@sqs.eu-central-1.amazonaws.com/1/x"),
    ],
)
def test_no_address(kind, address):
    """What is no ARN and no URL of a queue is refused."""
    with pytest.raises(errors.UsageError) as caught:
        kind(address, Account())
    assert "hunter22" not in str(caught.value)
