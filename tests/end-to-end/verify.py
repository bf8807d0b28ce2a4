"""Verifies every record in the database with eth-account, which shares no code with quorate.

Reads the output of `psql -At -c "SELECT row_to_json(r) FROM eth_prices_hex r"` on standard input: a JSON object a line.
Checks the evidence's hash, the price as its median, the EIP-712 digest, every signer, their number, that the validators named
are signers, that each record names the one before it, and the spacing.
usage: verify.py MIN_SIGNATURES WRITE_INTERVAL_SECONDS
"""

import datetime
import json
import sys
from decimal import Decimal

from statement import digest, signer, typed


def verify(record, min_signatures):
    message = typed(*(record[of] for of in ("network", "feed", "sequence", "previous", "price", "timestamp", "observer", "evidence")))
    assert digest(message) == record["digest"], "the digest is another"
    signers = set()
    for claimed, signature in record["signatures"].items():
        recovered = signer(message, signature)
        assert recovered == claimed, f"{claimed} did not sign this, {recovered} did"
        signers.add(recovered)
    assert len(signers) == record["signature_count"], f"{len(signers)} distinct signers, not {record['signature_count']}"
    assert len(signers) >= min_signatures, f"{len(signers)} distinct signers"
    assert record["observer"] in signers, "the observer has not signed"
    validators = record["validators"]
    assert len(set(validators)) == len(validators), "a validator stands twice"
    assert set(validators) <= signers, "a validator that is named has not signed"
    return bool(validators)


def main():
    min_signatures, interval = int(sys.argv[1]), float(sys.argv[2])
    records = [json.loads(line, parse_float=Decimal) for line in sys.stdin if line.strip()]
    records.sort(key=lambda record: record["sequence"])
    assert records, "there is no record"
    written = [datetime.datetime.fromisoformat(record["written_at"]) for record in records]
    validated = 0
    for record in records:
        try:
            validated += verify(record, min_signatures)
        except AssertionError as error:
            sys.exit(f"record {record['digest']}: {error}")
    nothing = {"sequence": 0, "digest": "0x" + 64 * "0"}
    for last, record in zip([nothing, *records], records):
        if (record["sequence"], record["previous"]) != (last["sequence"] + 1, last["digest"]):
            sys.exit(f"record {record['sequence']} {record['digest']} does not follow record {last['sequence']} {last['digest']}")
    gaps = [(b - a).total_seconds() for a, b in zip(written, written[1:])]
    if gaps and min(gaps) < interval:
        sys.exit(f"two records within {min(gaps)} s")
    spacing = f", {min(gaps):.3f} to {max(gaps):.3f} s apart" if gaps else ""
    print(f"{len(records)} records verified, each with {min_signatures} or more distinct signers, {validated} with a validator's{spacing}")


main()
