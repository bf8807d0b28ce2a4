"""Follows the prices of a quorate network and verifies each: digest, median, signatures, and that none is missing.

When a connection breaks, it goes on where it stopped, with the next node of those that are named.

    pip install eth-account
    python follow.py [--feed ETH/USD] [--count N] [--after NUMBER] URL...
"""

import argparse
import itertools
import json
import sys
import time
import urllib.parse
import urllib.request
from decimal import ROUND_DOWN, Decimal

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils import keccak

SCALE = Decimal(10) ** 18
PATIENCE = 60  # A node says something every 15 s.
TYPES = {
    "PriceObservation": [
        {"name": "feed", "type": "string"},
        {"name": "sequence", "type": "uint64"},
        {"name": "previous", "type": "bytes32"},
        {"name": "price", "type": "uint256"},
        {"name": "observedAt", "type": "uint64"},
        {"name": "observer", "type": "address"},
        {"name": "evidence", "type": "bytes32"},
    ]
}


def signed_message(record) -> SignableMessage:
    """What the signers signed, made anew from the record's contents."""
    quotes = "".join(f"{quote['source']} {quote['price']} {quote['at']}\n" for quote in record["evidence"])
    return encode_typed_data(
        domain_data={"name": "quorate", "version": "1", "salt": keccak(text=record["network"])},
        message_types=TYPES,
        message_data={
            "feed": record["feed"],
            "sequence": record["sequence"],
            "previous": bytes.fromhex(record["previous"][2:]),
            "price": int(Decimal(record["price"]) * SCALE),
            "observedAt": record["observed_at_ms"],
            "observer": record["observer"],
            "evidence": keccak(text=quotes),
        },
    )


def median(quotes) -> Decimal:
    prices = sorted(Decimal(quote["price"]) for quote in quotes)
    middle = len(prices) // 2
    if len(prices) % 2:
        return prices[middle]
    return ((prices[middle - 1] + prices[middle]) / 2).quantize(1 / SCALE, ROUND_DOWN)


def verify(record, last) -> set:
    """The distinct signers. Which of them are members, and whether they are enough, is for who trusts them to say."""
    if Decimal(record["price"]) != median(record["evidence"]):
        raise ValueError("the price is not the median of its quotes")
    message = signed_message(record)
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    if "0x" + digest.hex() != record["digest"]:
        raise ValueError("the digest is of something else")
    for signature in record["signatures"]:
        recovered = Account.recover_message(message, signature=signature["signature"])
        if recovered != signature["signer"]:
            raise ValueError(f"{signature['signer']} did not sign this, {recovered} did")
    if last and (record["sequence"], record["previous"]) != (last["sequence"] + 1, last["digest"]):
        raise ValueError(f"it does not follow record {last['sequence']}")
    return {signature["signer"] for signature in record["signatures"]}


def events(url, last_id):
    """The stream's events until it ends: name, id, data."""
    request = urllib.request.Request(url, headers={"Last-Event-ID": last_id} if last_id else {})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        event = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif "data" in event:
                yield event["event"], event.get("id"), json.loads(event["data"])
                event = {}


def follow(nodes, feed, after):
    """Every record from now on, or after the one with this number, whatever happens to the nodes."""
    last_id = None if after is None else f"{feed}:{after}"
    for node in itertools.cycle(nodes):
        try:
            for name, event_id, data in events(f"{node}/api/v1/stream?feed={urllib.parse.quote(feed)}", last_id):
                if name == "record":
                    last_id = event_id
                    yield data
                else:
                    print(f"{node} says: {data['reason']}", file=sys.stderr)
            print(f"{node}: the stream has ended", file=sys.stderr)
        except OSError as error:
            print(f"{node}: {error}", file=sys.stderr)
        time.sleep(1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--feed", default="ETH/USD")
    arguments.add_argument("--count", type=int, help="end after so many records")
    arguments.add_argument("--after", type=int, help="begin after the record with this number")
    arguments.add_argument("node", nargs="+", help="like http://127.0.0.1:8080")
    given = arguments.parse_args()
    last = None
    for record in itertools.islice(follow(given.node, given.feed, given.after), given.count):
        try:
            signers = verify(record, last)
        except ValueError as error:
            sys.exit(f"{record['feed']}:{record['sequence']} is not genuine: {error}")
        print(f"{record['feed']}:{record['sequence']} {record['price']} verified, {len(signers)} signers", flush=True)
        last = record


main()
