"""Proofs that a node has signed two statements for one moment, made and checked with eth-account alone.

usage: equivocation.py make KEY_FILE NETWORK     the SQL that keeps a genuine proof against the holder of the key
       equivocation.py slander KEY_FILE NETWORK  the same, but the second statement was signed by somebody else
       equivocation.py verify EVIDENCE_FILE      reads rows of eth_price_equivocations, a JSON object a line, on standard input;
                                                 `quorate evidence --output json` in the file must say of each that it holds
"""

import datetime
import json
import pathlib
import sys
from decimal import Decimal

from eth_account import Account
from statement import digest, millis, sign, signer, typed


def propose(key_file, network, is_genuine):
    key = pathlib.Path(key_file).read_text().strip()
    observer = Account.from_key(key).address
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    nothing = "0x" + 64 * "0"
    statements = []
    for price, signing_key in (("3000.5", key), ("4000", key if is_genuine else Account.create().key)):
        evidence = [{"source": "coinbase", "price": price, "at": millis(now)}]
        message = typed(network, "ETH/USD", 1, nothing, price, now, observer, evidence)
        statements.append({
            "digest": digest(message), "timestamp": now, "price": price,
            "evidence": "".join(f"{quote['source']} {quote['price']} {quote['at']}\n" for quote in evidence),
            "signature": sign(message, signing_key),
        })
    row = {
        "observer": observer, "feed": "ETH/USD", "sequence": 1, "previous": nothing, "network": network, "found_by": observer,
    }
    for order, statement in zip(("first", "second"), sorted(statements, key=lambda one: one["digest"])):
        row |= {f"{order}_{name}": value for name, value in statement.items()}
    values = ", ".join(f"'{value}'" if not str(value).startswith("0x") else f"decode('{value[2:]}', 'hex')" for value in row.values())
    print(f"INSERT INTO eth_price_equivocations ({', '.join(row)}) VALUES ({values});")


def verify(row):
    digests = []
    for order in ("first", "second"):
        half = {name: row[f"{order}_{name}"] for name in ("digest", "timestamp", "price", "evidence", "signature")}
        evidence = [dict(zip(("source", "price", "at"), line.split(" "))) for line in half["evidence"].splitlines()]
        message = typed(
            row["network"], row["feed"], row["sequence"], row["previous"], half["price"], half["timestamp"], row["observer"],
            evidence,
        )
        assert digest(message) == half["digest"], f"the {order} digest is another"
        assert signer(message, half["signature"]) == row["observer"], f"the observer did not sign the {order} statement"
        digests.append(half["digest"])
    assert digests[0] < digests[1], "the statements are one, or in the wrong order"
    hours, minutes, seconds = row["moment"].split(":")
    moment = int(hours) * 3_600_000 + int(minutes) * 60_000 + int(Decimal(seconds) * 1000)
    assert abs(millis(row["first_timestamp"]) - millis(row["second_timestamp"])) < moment, "not of one moment"
    return digests


def check(evidence_file):
    # What is bytes there is `\\x…` here.
    lines = [line.replace("\\\\x", "0x") for line in sys.stdin if line.strip()]
    rows = [json.loads(line, parse_float=Decimal) for line in lines]
    assert rows, "there is no proof"
    proven = sorted(verify(row) for row in rows)
    shown = json.loads(pathlib.Path(evidence_file).read_text())
    assert all(proof["verified"] for proof in shown), "quorate evidence says that a proof does not hold"
    assert sorted([proof["first"]["digest"], proof["second"]["digest"]] for proof in shown) == proven, "it shows others"
    print(f"{len(rows)} proof of equivocation verified, by quorate evidence too")


match sys.argv[1:]:
    case ["make" | "slander" as what, key_file, network]:
        propose(key_file, network, what == "make")
    case ["verify", evidence_file]:
        check(evidence_file)
    case _:
        sys.exit(__doc__)
