"""Verifies records without quorate: each by itself, and that none is missing between the first and the last.

Reads an archive (quorate archive), compressed or not, or what `quorate prices --output json` prints. Needs eth-account 0.14.
usage: verify.py FILE|- [ADDRESS ...]     the addresses of the members that you trust; without them anybody may have signed
"""

import gzip
import json
import sys
from decimal import Decimal

from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils import keccak

MIN_SIGNATURES = 3
FIELDS = {
    "EIP712Domain": "string name,string version,bytes32 salt",
    "PriceObservation": "string feed,uint64 sequence,bytes32 previous,uint256 price,uint64 observedAt,address observer,bytes32 evidence",
}
TYPES = {
    name: [dict(zip(("type", "name"), field.split())) for field in fields.split(",")] for name, fields in FIELDS.items()
}


def scaled(price):
    return int(Decimal(price) * 10**18)


def median(prices):
    prices, middle = sorted(prices), len(prices) // 2
    return prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) // 2


def check(record, members):
    """One record by itself."""
    quotes = record["evidence"]
    assert median([scaled(quote["price"]) for quote in quotes]) == scaled(record["price"]), "the price is not the median"
    canonical = "".join(f"{quote['source']} {quote['price']} {quote['at']}\n" for quote in quotes)
    signed = encode_typed_data(full_message={
        "types": TYPES,
        "primaryType": "PriceObservation",
        "domain": {"name": "quorate", "version": "1", "salt": keccak(text=record["network"])},
        "message": {
            "feed": record["feed"],
            "sequence": record["sequence"],
            "previous": record["previous"],
            "price": scaled(record["price"]),
            "observedAt": record["observed_at_ms"],
            "observer": record["observer"],
            "evidence": keccak(text=canonical),
        },
    })
    digest = "0x" + _hash_eip191_message(signed).hex()
    assert digest == record["digest"], f"the contents hash to {digest}"
    signers = set()
    for one in record["signatures"]:
        recovered = Account.recover_message(signed, signature=one["signature"])
        assert recovered == one["signer"], f"the signature of {one['signer']} is that of {recovered}"
        assert not members or recovered in members, f"{recovered} is no member"
        signers.add(recovered)
    assert record["observer"] in signers, "the observer has not signed"
    assert len(signers) >= MIN_SIGNATURES, f"{len(signers)} signatures"


def records(file):
    """The records of an archive or of a JSON list."""
    data = sys.stdin.buffer.read() if file == "-" else open(file, "rb").read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data.lstrip()[:1] == b"[":
        # For people the newest comes first.
        yield from sorted(json.loads(data), key=lambda record: (record["feed"], record["sequence"]))
        return
    count = 0
    for line in data.splitlines():
        line = json.loads(line)
        if "end" in line:
            assert line["end"]["records"] == count, f"the archive counts {line['end']['records']} records, there are {count}"
            return
        if "quorate_archive" not in line:
            count += 1
            yield line
    raise AssertionError("the archive has no last line")


def main():
    last, count = {}, 0
    try:
        for record in records(sys.argv[1]):
            count += 1
            name = f"record {record['sequence']} of {record['feed']}"
            check(record, set(sys.argv[2:]))
            # The record before it: its number and its digest. Of the first one that is known only a stranger's word.
            before = last.get(record["feed"])
            if before:
                assert record["sequence"] == before["sequence"] + 1, f"it stands behind record {before['sequence']}"
                assert record["previous"] == before["digest"], "it does not follow the record before it"
            last[record["feed"]] = record
    except AssertionError as error:
        sys.exit(f"{name if count else sys.argv[1]}: {error}")
    print(f"{count} records verified: " + ", ".join(f"{feed} up to {record['sequence']}" for feed, record in last.items()))


main()
