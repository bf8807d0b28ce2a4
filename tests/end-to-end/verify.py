"""Verifies every record in the database with eth-account, which shares no code with quorate.

Reads the output of `psql -At -c "SELECT row_to_json(r) FROM eth_prices_signed r"` on standard input: a JSON object a line.
Checks the evidence's hash, the price as its median, the EIP-712 digest, every signer, their number, and the spacing.
usage: verify.py MIN_SIGNATURES WRITE_INTERVAL_SECONDS
"""

import datetime
import json
import sys
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


def verify(record, min_signatures):
    quotes = sorted(record["evidence"], key=lambda quote: quote["source"].encode())
    assert len({quote["source"] for quote in quotes}) == len(quotes), "a source stands twice"
    text = "".join(f"{q['source']} {plain(q['price'])} {q['at']}\n" for q in quotes)
    assert median([scaled(q["price"]) for q in quotes]) == scaled(record["price"]), "the price is not the median"
    typed = encode_typed_data(full_message={
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "salt", "type": "bytes32"},
            ],
            "PriceObservation": [
                {"name": "feed", "type": "string"},
                {"name": "price", "type": "uint256"},
                {"name": "observedAt", "type": "uint64"},
                {"name": "observer", "type": "address"},
                {"name": "evidence", "type": "bytes32"},
            ],
        },
        "primaryType": "PriceObservation",
        "domain": {"name": "quorate", "version": "1", "salt": keccak(text=record["network"])},
        "message": {
            "feed": record["feed"],
            "price": scaled(record["price"]),
            "observedAt": millis(record["timestamp"]),
            "observer": record["observer"],
            "evidence": keccak(text=text),
        },
    })
    assert "0x" + _hash_eip191_message(typed).hex() == record["digest"], "the digest is another"
    signers = set()
    for claimed, signature in record["signatures"].items():
        signer = Account.recover_message(typed, signature=signature)
        assert signer == claimed, f"{claimed} did not sign this, {signer} did"
        signers.add(signer)
    assert len(signers) >= min_signatures, f"{len(signers)} distinct signers"
    assert record["observer"] in signers, "the observer has not signed"


def main():
    min_signatures, interval = int(sys.argv[1]), float(sys.argv[2])
    records = sorted((json.loads(line, parse_float=Decimal) for line in sys.stdin if line.strip()), key=lambda r: r["written_at"])
    assert records, "there is no record"
    written = [datetime.datetime.fromisoformat(record["written_at"]) for record in records]
    for record in records:
        try:
            verify(record, min_signatures)
        except AssertionError as error:
            sys.exit(f"record {record['digest']}: {error}")
    gaps = [(b - a).total_seconds() for a, b in zip(written, written[1:])]
    if gaps and min(gaps) < interval:
        sys.exit(f"two records within {min(gaps)} s")
    spacing = f", {min(gaps):.3f} to {max(gaps):.3f} s apart" if gaps else ""
    print(f"{len(records)} records verified, each with {min_signatures} or more distinct signers{spacing}")


main()
