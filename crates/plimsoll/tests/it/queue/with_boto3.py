"""What boto3 does with a queue, against the endpoint in argv[1]; keys come from the environment."""

import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
config = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30)
sqs = boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1", config=config)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error
    raise AssertionError(f"{call} should be refused with {code}")


# A queue, and its attributes.
dead = sqs.create_queue(QueueName="boto-dead")["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
url = sqs.create_queue(
    QueueName="boto",
    Attributes={"VisibilityTimeout": "2", "RedrivePolicy": '{"deadLetterTargetArn":"%s","maxReceiveCount":"2"}' % arn},
    tags={"team": "shop"},
)["QueueUrl"]
assert url.endswith("/000000000000/boto"), url
assert sqs.create_queue(QueueName="boto", Attributes={"VisibilityTimeout": "2"})["QueueUrl"] == url
refused("QueueAlreadyExists", sqs.create_queue, QueueName="boto", Attributes={"VisibilityTimeout": "3"})
assert sqs.get_queue_url(QueueName="boto")["QueueUrl"] == url
assert set(sqs.list_queues(QueueNamePrefix="boto")["QueueUrls"]) == {url, dead}
assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "shop"}
assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
refused("AWS.SimpleQueueService.NonExistentQueue", sqs.get_queue_url, QueueName="none")

# A message: boto3 compares digests by itself.
attributes = {
    "text": {"DataType": "String", "StringValue": "ü"},
    "number": {"DataType": "Number", "StringValue": "7.5"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}
sent = sqs.send_message(QueueUrl=url, MessageBody="hällo", MessageAttributes=attributes)
received = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])["Messages"]
assert len(received) == 1
(message,) = received
assert message["MessageId"] == sent["MessageId"] and message["Body"] == "hällo"
assert message["Attributes"]["ApproximateReceiveCount"] == "1"
assert message["MessageAttributes"]["bytes"]["BinaryValue"] == b"\x00\xff"
assert message["MessageAttributes"]["text"]["StringValue"] == "ü"
figures = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
assert figures["ApproximateNumberOfMessagesNotVisible"] == "1", figures
assert "Messages" not in sqs.receive_message(QueueUrl=url)
sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=url, ReceiptHandle="nonsense")
refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])

# Batches.
entries = [{"Id": str(each), "MessageBody": f"message {each}"} for each in range(10)]
assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 10
refused("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", sqs.send_message_batch, QueueUrl=url, Entries=entries + [{"Id": "x", "MessageBody": "x"}])
messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
assert [each["Body"] for each in messages] == [f"message {each}" for each in range(10)]
deleted = sqs.delete_message_batch(
    QueueUrl=url, Entries=[{"Id": str(index), "ReceiptHandle": each["ReceiptHandle"]} for index, each in enumerate(messages)]
)
assert len(deleted["Successful"]) == 10 and not deleted.get("Failed")

# Long polling ends as soon as there is something; a delay holds it back.
begun = time.monotonic()
sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
(message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
assert 0.9 < time.monotonic() - begun < 8, time.monotonic() - begun

# What is made visible again at once comes again; after two times it is a dead letter.
sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
(again,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, AttributeNames=["ApproximateReceiveCount"])["Messages"]
assert again["Attributes"]["ApproximateReceiveCount"] == "2"
refused(
    "AWS.SimpleQueueService.MessageNotInflight",
    sqs.change_message_visibility,
    QueueUrl=url,
    ReceiptHandle=message["ReceiptHandle"],
    VisibilityTimeout=5,
)
(given_up,) = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20, AttributeNames=["All"])["Messages"]
assert given_up["Body"] == "later" and given_up["Attributes"]["DeadLetterQueueSourceArn"].endswith(":boto")
sqs.change_message_visibility(QueueUrl=dead, ReceiptHandle=given_up["ReceiptHandle"], VisibilityTimeout=0)
time.sleep(0.5)
sqs.start_message_move_task(SourceArn=arn)
(back,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
assert back["Body"] == "later"
assert sqs.list_message_move_tasks(SourceArn=arn)["Results"][0]["Status"] in ("RUNNING", "COMPLETED")

# In order, and once.
fifo = sqs.create_queue(QueueName="boto.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
for each in range(3):
    sqs.send_message(QueueUrl=fifo, MessageBody=f"{each}", MessageGroupId="g")
first = sqs.send_message(QueueUrl=fifo, MessageBody="other", MessageGroupId="h", MessageDeduplicationId="k")
twice = sqs.send_message(QueueUrl=fifo, MessageBody="other", MessageGroupId="h", MessageDeduplicationId="k")
assert first["MessageId"] == twice["MessageId"] and first["SequenceNumber"] == twice["SequenceNumber"]
refused("MissingParameter", sqs.send_message, QueueUrl=fifo, MessageBody="x")
seen = []
for _ in range(10):
    for each in sqs.receive_message(QueueUrl=fifo, MaxNumberOfMessages=10, AttributeNames=["All"]).get("Messages", []):
        seen.append((each["Attributes"]["MessageGroupId"], each["Body"]))
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=each["ReceiptHandle"])
assert [body for group, body in seen if group == "g"] == ["0", "1", "2"], seen
assert [body for group, body in seen if group == "h"] == ["other"], seen

sqs.purge_queue(QueueUrl=url)
sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7"})
assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"] == {"VisibilityTimeout": "7"}
for each in (url, dead, fifo):
    sqs.delete_queue(QueueUrl=each)
print("well")
