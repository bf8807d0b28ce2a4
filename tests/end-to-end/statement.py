"""A signed statement of a price as docs/protocol.md describes it, in Python alone: its evidence, its digest, its signer."""

import datetime
from decimal import Decimal

from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils import keccak

SCALE = 10**18


def plain(price):
    """A price in plain decimals without trailing zeros."""
    text = format(Decimal(price), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def scaled(price):
    return int(Decimal(price) * SCALE)


def median(prices):
    prices = sorted(prices)
    middle = len(prices) // 2
    return prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) // 2


def millis(text):
    moment = datetime.datetime.fromisoformat(text)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(milliseconds=1)


def typed(network, feed, sequence, previous, price, observed_at, observer, evidence):
    """What is signed. Fails if the price is not the median of the evidence."""
    quotes = sorted(evidence, key=lambda quote: quote["source"].encode())
    assert len({quote["source"] for quote in quotes}) == len(quotes), "a source stands twice"
    assert median([scaled(q["price"]) for q in quotes]) == scaled(price), "the price is not the median"
    text = "".join(f"{q['source']} {plain(q['price'])} {q['at']}\n" for q in quotes)
    return encode_typed_data(full_message={
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "salt", "type": "bytes32"},
            ],
            "PriceObservation": [
                {"name": "feed", "type": "string"},
                {"name": "sequence", "type": "uint64"},
                {"name": "previous", "type": "bytes32"},
                {"name": "price", "type": "uint256"},
                {"name": "observedAt", "type": "uint64"},
                {"name": "observer", "type": "address"},
                {"name": "evidence", "type": "bytes32"},
            ],
        },
        "primaryType": "PriceObservation",
        "domain": {"name": "quorate", "version": "1", "salt": keccak(text=network)},
        "message": {
            "feed": feed,
            "sequence": sequence,
            "previous": bytes.fromhex(previous.removeprefix("0x")),
            "price": scaled(price),
            "observedAt": millis(observed_at),
            "observer": observer,
            "evidence": keccak(text=text),
        },
    })


def digest(message):
    return "0x" + _hash_eip191_message(message).hex()


def signer(message, signature):
    """In small letters, as the database's views have addresses."""
    return Account.recover_message(message, signature=signature).lower()


def sign(message, key):
    return "0x" + bytes(Account.sign_message(message, key).signature).hex()
