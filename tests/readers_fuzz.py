"""Compares what codistill reads with what Python's csv, json, ast and pyarrow read. Outside CI: needs pyarrow and pandas.

    cargo build --example rows && python3 tests/readers_fuzz.py target/debug/examples/rows --minutes 15 --seed 1

Random files are written by Python's own writers, then some of them are damaged. A file that codistill refuses is fine where it
was damaged; whatever it reads without a warning must be what Python reads.
"""

import argparse
import ast
import csv
import datetime as dt
import decimal
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time

import pyarrow as pa
import pyarrow.parquet as pq


class Reader:
    """The program under test: a job a line, an answer a line."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, path, log, options):
        self.process.stdin.write(json.dumps({"path": path, "log": log, "options": options}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the program ended on {path}")
        return json.loads(answer)


ALPHABET = list("abcXYZ019") + list("\"',;|\\\t -_.:{}[]()é日\U0001f600#<&")
SPACE = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"


def word(rng, extra="", least=1, most=6):
    return "".join(rng.choice(ALPHABET + list(extra)) for _ in range(rng.randint(least, most)))


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if not data:
            break
        at = rng.randrange(len(data))
        what = rng.randrange(3)
        if what == 0:
            data[at] = rng.choice(b"\"',\\\n\t{}[]:x \xe9")
        elif what == 1:
            del data[at]
        else:
            data.insert(at, rng.choice(b"\"',\\\n\t{}[]:x "))
    return bytes(data)


class Refused(Exception):
    """Python refuses the file as well."""


class Unspecified(Exception):
    """What is right here has rules of its own, which unit tests state."""


def stripped(text):
    # Rust's trim takes Unicode's white space, Python's strip a few control characters more.
    return text.strip("".join(c for c in SPACE if c not in "\x1c\x1d\x1e\x1f") + "\u2028\u2029\u3000\u1680"
                      + "".join(map(chr, range(0x2000, 0x200b))) + "\u202f\u205f")


def plain(name):
    """Names are compared without letter case and punctuation."""
    return "".join(c.lower() for c in name if c.isalnum())


# Tables


def table_rows(text, delimiter):
    """What the csv module reads: header and rows without blank ones."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False))
    except csv.Error as error:
        raise Refused(str(error)) from None
    return [row for row in rows if any(cell.strip() for cell in row)]


def table(rng):
    tabs = rng.random() < 0.4
    delimiter = "\t" if tabs else rng.choice(",,,;|")
    extra = "" if tabs else "\n"
    rows = [[word(rng, extra) for _ in range(4)] for _ in range(rng.randint(1, 8))]
    if tabs:
        rows = [[cell.replace("\t", " ") for cell in row] for row in rows]
    out = io.StringIO(newline="")
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    end = rng.choice(["\n", "\r\n"])
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["user", "item", "kind", "note"])
    writer.writerows(rows)
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    text = out.getvalue()
    data = text.encode(encoding)
    harmed = encoding == "utf-8" and rng.random() < 0.5
    if harmed:
        data = damaged(rng, data)

    def expected():
        # Bytes that are no text cost a field that is read, and no other.
        rows = table_rows(data.decode(encoding, "surrogateescape"), delimiter)
        width = len(rows[0])
        if any(len(row) != width for row in rows):
            raise Refused("ragged")
        header = [plain(name) for name in rows[0]]
        if "user" not in header or "item" not in header:
            raise Unspecified
        places = [header.index(name) for name in ("user", "item")]
        found = []
        for row in rows[1:]:
            user, item = (stripped(row[place]) for place in places)
            if not user or not item:
                raise Refused("empty id")
            try:
                # A quote may stand between the bytes of a character.
                found.append([cell.encode("utf-8", "surrogateescape").decode() for cell in (user, item)])
            except UnicodeDecodeError:
                raise Refused("encoding") from None
        return found

    options = {"format": "delimited", "delimiter": delimiter}
    return "x.tsv" if tabs else "x.csv", data, True, options, harmed, expected, lambda row: [lf(t) for t in row[:2]]


def lf(text):
    return text.replace("\r\n", "\n")


# JSON and Python literals

NAMES = {"null": None, "true": True, "false": False, "NaN": math.nan, "nan": math.nan, "Infinity": math.inf,
         "inf": math.inf}


def literal(text):
    """A literal of Python or JSON, or both at once."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        tree = ast.parse(text.strip(" \t\n\r\x0c"), mode="eval").body
        return evaluated(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        raise Refused(text) from None


def evaluated(node):
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError
        return {evaluated(k): evaluated(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [evaluated(part) for part in node.elts]
    if isinstance(node, ast.Name) and node.id in NAMES:
        return NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = evaluated(node.operand)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        return -value if isinstance(node.op, ast.USub) else value
    value = ast.literal_eval(node)
    return value.decode("latin-1") if isinstance(value, bytes) else value


def value(rng, depth=2):
    kind = rng.randrange(9 if depth else 6)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return rng.choice([0, -1, 7, 2**53 + 1, 2**63, -(2**63)])
    if kind == 3:
        return rng.choice([0.5, -1e300, math.nan, math.inf, 12.25])
    if kind < 6:
        return word(rng, "\n", 0)
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {word(rng): value(rng, depth - 1) for _ in range(rng.randint(0, 3))}


def number_text(x):
    if isinstance(x, int):
        return str(x) if -(2**63) <= x < 2**64 else None
    return None


def text_of(x, separator):
    """codistill's text of a nested value, over Python's value of it."""
    parts = []

    def walk(x):
        if isinstance(x, str):
            parts.append(stripped(surrogates(x)))
        elif isinstance(x, bool) or x is None:
            pass
        elif isinstance(x, (int, float)):
            if isinstance(x, float) and not math.isfinite(x):
                return
            parts.append(x)
        elif isinstance(x, list):
            for part in x:
                walk(part)
        elif isinstance(x, dict):
            if isinstance(x.get("name"), str):
                return walk(x["name"])
            for part in x.values():
                if not (isinstance(part, str) and part.lstrip().startswith(("http://", "https://"))):
                    walk(part)

    walk(x)
    return [p for p in parts if p != ""]


def surrogates(text):
    text = re.sub("[\ud800-\udbff][\udc00-\udfff]",
                  lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)


def same_text(ours, parts, separator):
    """Numbers may be written in several ways: they are compared as numbers."""
    at = 0
    for n, part in enumerate(parts):
        if n:
            if not ours.startswith(separator, at):
                return False
            at += len(separator)
        if isinstance(part, str):
            if not ours.startswith(part, at):
                return False
            at += len(part)
        else:
            end = at
            while end < len(ours) and ours[end] in "0123456789+-.eE":
                end += 1
            try:
                if float(ours[at:end]) != float(part):
                    return False
            except (ValueError, OverflowError):
                return False
            at = end
    return at == len(ours)


def runs_over(lines):
    """Whether the first object ends on a later line than it begins."""
    for last in range(1, len(lines) + 1):
        try:
            literal("\n".join(lines[:last]))
            return last > 1
        except Refused:
            pass
    # Several objects on a line are a stream of them.
    return bool(lines) and (lines[0].count("{") > lines[0].count("}") or re.search(r"\}\s*\{", lines[0]) is not None)


def objects(rng):
    rows = []
    for n in range(rng.randint(1, 6)):
        row = {"asin": rng.choice([n, word(rng), f"B{n}"]), "title": value(rng), "x": value(rng)}
        if rng.random() < 0.2:
            del row["title"]
        items = list(row.items())
        rng.shuffle(items)
        rows.append(dict(items))
    rows[0].setdefault("title", "first")
    style = rng.randrange(5)
    if style == 0:
        text = "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows)
    elif style == 1:
        text = "".join(repr(row) + "\n" for row in rows)
    elif style == 2:
        text = json.dumps(rows, indent=rng.choice([None, 1]))
    elif style == 3:
        text = "".join(json.dumps(row, indent=2) + "\n" for row in rows)
    else:
        text = "".join(rng.choice([repr, json.dumps])(row) + "\n" for row in rows)
    data = text.encode()
    lines = style in (0, 1, 4)
    harmed = lines and rng.random() < 0.6
    if harmed:
        data = damaged(rng, data)

    def expected():
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Refused("encoding") from None
        if style == 2:
            parsed = json.loads(text)
        elif style == 3:
            parsed = rows
        else:
            lines = [line for line in text.split("\n") if line.strip(" \t\r\x0c")]
            if runs_over(lines):
                # Objects that run over lines are read as such.
                raise Unspecified
            parsed = [literal(line) for line in lines]
        found = []
        for row in parsed:
            if not isinstance(row, dict):
                raise Refused("no object")
            if any(plain(name) in ("asin", "title") and name not in ("asin", "title") for name in map(str, row)):
                raise Unspecified
            key = row.get("asin")
            key = number_text(key) if isinstance(key, int) and not isinstance(key, bool) else key
            if not isinstance(key, str) or not stripped(key):
                raise Refused("no id")
            found.append([stripped(surrogates(key)), text_of(row.get("title"), " ")])
        return found

    def same(ours, theirs):
        return ours[0] == theirs[0] and same_text(ours[1], theirs[1], " ")

    options = {"format": "json_lines", "columns": {"item": "asin", "title": "title"}}
    return "x.json", data, False, options, harmed, expected, same


# Parquet


def moment(x, kind):
    """RawTime as the program prints it."""
    if x is None:
        return "Missing"
    if kind == "number":
        return f"Number({x})"
    return f"Moment({x})"


def parquet(rng):
    n = rng.randint(1, 40)
    nullable = lambda f: [None if rng.random() < 0.1 else f() for _ in range(n)]

    def ids():
        kind = rng.randrange(6)
        if kind < 3:
            texts = [word(rng) + "x" for _ in range(n)]
            array = pa.array(texts, [pa.string(), pa.large_string(), pa.string()][kind])
            return (array.dictionary_encode() if kind == 2 else array), [stripped(t) for t in texts]
        if kind == 3:
            whole = rng.choice([pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()])
            signed = str(whole).startswith("int")
            low, high = (-(2 ** (whole.bit_width - 1)), 2 ** (whole.bit_width - 1) - 1) if signed else (0, 2**whole.bit_width - 1)
            numbers = [rng.choice([low, high, 0, rng.randint(low, high)]) for _ in range(n)]
            return pa.array(numbers, whole), [str(x) for x in numbers]
        if kind == 4:
            numbers = [rng.randint(-(10**12), 10**12) for _ in range(n)]
            kind = rng.choice([pa.decimal128(20, 0), pa.decimal128(38, 4), pa.decimal256(50, 2)])
            return pa.array([decimal.Decimal(x) for x in numbers], kind), [str(x) for x in numbers]
        texts = [bytes(rng.choice(b"abc\xc3\xa9") for _ in range(3)) for _ in range(n)]
        texts = [t if valid(t) else b"ok" for t in texts]
        return pa.array(texts, pa.binary()), [stripped(t.decode()) for t in texts]

    def times():
        kind = rng.randrange(6)
        if kind == 0:
            numbers = nullable(lambda: rng.randint(-(2**62), 2**62))
            return pa.array(numbers, pa.int64()), [moment(x, "number") for x in numbers]
        if kind == 1:
            numbers = nullable(lambda: rng.randint(0, 2**31 - 1))
            return pa.array(numbers, pa.int32()), [moment(x, "number") for x in numbers]
        if kind == 2:
            unit, per = rng.choice([("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1)])
            most = 9 * 10**18 // per
            numbers = nullable(lambda: rng.randint(-most, most))
            zone = rng.choice([None, "UTC", "Europe/Berlin"])
            array = pa.array(numbers, pa.timestamp(unit, zone))
            return array, [moment(None if x is None else x * per, "moment") for x in numbers]
        if kind == 3:
            numbers = nullable(lambda: rng.randint(-100_000, 100_000))
            array = pa.array(numbers, pa.date32())
            return array, [moment(None if x is None else x * 86_400 * 10**9, "moment") for x in numbers]
        if kind == 4:
            numbers = nullable(lambda: float(rng.randint(0, 2**53)))
            return pa.array(numbers, pa.float64()), [moment(None if x is None else int(x), "number") for x in numbers]
        stamps = nullable(lambda: dt.datetime(2000, 1, 1) + dt.timedelta(microseconds=rng.randint(0, 10**15)))
        texts = [None if s is None else s.isoformat(sep=rng.choice(" T"), timespec="microseconds") for s in stamps]
        epoch = dt.datetime(1970, 1, 1)
        nanos = [None if s is None else (s - epoch) // dt.timedelta(microseconds=1) * 1000 for s in stamps]
        return pa.array(texts, pa.string()), [moment(x, "moment") for x in nanos]

    def values():
        kind = rng.randrange(5)
        if kind == 0:
            numbers = nullable(lambda: rng.uniform(-5, 5))
            return pa.array(numbers, pa.float64()), numbers
        if kind == 1:
            array = pa.array(nullable(lambda: rng.uniform(-5, 5)), pa.float32())
            return array, array.to_pylist()
        if kind == 2:
            numbers = nullable(lambda: rng.randint(-5, 5))
            return pa.array(numbers, rng.choice([pa.int8(), pa.int64()])), numbers
        if kind == 3:
            numbers = nullable(lambda: decimal.Decimal(rng.randint(-500, 500)).scaleb(-2))
            return pa.array(numbers, pa.decimal128(9, 2)), [None if x is None else float(x) for x in numbers]
        array = pa.array(nullable(lambda: rng.uniform(-5, 5)), pa.float32()).cast(pa.float16())
        return array, [None if x is None else float(x) for x in array.to_pylist()]

    (user, users), (item, items), (moments, stamps), (rating, ratings) = ids(), ids(), times(), values()
    columns = {"user": user, "junk": pa.array([[1, None]] * n), "item": item, "timestamp": moments, "rating": rating}
    out = io.BytesIO()
    pq.write_table(
        pa.table(columns), out, row_group_size=rng.choice([3, 100]),
        compression=rng.choice(["none", "snappy", "zstd", "gzip", "lz4"]), use_dictionary=rng.random() < 0.5,
        data_page_version=rng.choice(["1.0", "2.0"]), version="2.6" if moments.type == pa.timestamp("ns", getattr(moments.type, "tz", None)) else rng.choice(["1.0", "2.4", "2.6"]),
        store_decimal_as_integer=rng.random() < 0.5, use_deprecated_int96_timestamps=False,
    )
    data = out.getvalue()

    def expected():
        # Version 1.0 stores coarser or finer units than the table had, and unsigned numbers as signed.
        if any(not x for x in users + items):
            raise Refused("empty id")
        return [list(row) for row in zip(users, items, stamps, ratings)]

    return "x.parquet", data, True, {}, False, expected, None


def valid(data):
    try:
        return bool(data.decode().strip())
    except UnicodeDecodeError:
        return False


def catalogue(rng):
    """Nested columns of Parquet."""
    n = rng.randint(1, 12)
    texts = lambda: rng.choice([None, [], [word(rng) for _ in range(rng.randint(1, 3))], [None, word(rng)]])
    sizes = lambda: {"large": word(rng), "hi_res": None, "variant": rng.choice(["MAIN", "PT01"])}
    pictures = [rng.choice([None, [], [sizes() for _ in range(rng.randint(1, 3))]]) for _ in range(n)]
    as_columns = rng.random() < 0.5
    fields = ["large", "hi_res", "variant"]
    if as_columns:
        images = pa.array(
            [None if p is None else {f: [x[f] for x in p] for f in fields} for p in pictures],
            pa.struct([(f, pa.list_(pa.string())) for f in fields]),
        )
    else:
        images = pa.array(pictures, pa.list_(pa.struct([(f, pa.string()) for f in fields])))
    title, category = [texts() for _ in range(n)], [texts() for _ in range(n)]
    large = rng.choice([pa.list_, pa.large_list])
    table = pa.table({
        "item_id": pa.array([f"i{k}" for k in range(n)]),
        "title": pa.array(title, large(pa.string())),
        "category": pa.array(category, pa.list_(pa.large_string())),
        "images": images,
    })
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=rng.choice([2, 100]), data_page_version=rng.choice(["1.0", "2.0"]),
                   use_compliant_nested_type=rng.random() < 0.5)

    def picture(p):
        mains = [x for x in p or [] if x["variant"] == "MAIN"]
        found = [x["large"] for x in mains + (p or []) if stripped(x["large"])]
        return stripped(found[0]) if found else ""

    def expected():
        joined = lambda parts, mark: mark.join(stripped(t) for t in parts or [] if t and stripped(t))
        rows = [[f"i{k}", joined(title[k], " "), "", joined(category[k], "|"), picture(pictures[k])] for k in range(n)]
        if any("[" in r[4] or "{" in r[4] or "|" in r[4] for r in rows):
            raise Unspecified
        return rows

    return "x.parquet", out.getvalue(), False, {}, False, expected, lambda row: row[:5]


KINDS = [table, table, objects, objects, parquet, catalogue]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default="readers-fuzz", help="folder for files that are read differently")
    args = parser.parse_args()
    reader = Reader(args.program)
    end = time.monotonic() + 60 * args.minutes
    counts = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as home:
        n = 0
        while time.monotonic() < end:
            n += 1
            rng = random.Random(f"{args.seed} {n}")
            make = rng.choice(KINDS)
            name, data, log, options, harmed, expected, project = make(rng)
            path = os.path.join(home, name)
            with open(path, "wb") as file:
                file.write(data)
            answer = reader.read(path, log, options)
            try:
                theirs = expected()
            except Refused:
                theirs = None
            except Unspecified:
                continue
            warned = bool(answer["plan"] and answer["plan"]["warnings"])
            outcome = verdict(answer, theirs, warned, harmed, project)
            key = (make.__name__, "damaged" if harmed else "whole", outcome)
            counts[key] = counts.get(key, 0) + 1
            if outcome.startswith("WRONG"):
                wrong += 1
                os.makedirs(args.keep, exist_ok=True)
                kept = os.path.join(args.keep, f"{args.seed}-{n}-{name}")
                with open(kept, "wb") as file:
                    file.write(data)
                print(f"{kept}: {outcome}\n  ours   {answer['error'] or answer['rows']}\n  theirs {theirs}")
                if wrong >= 10:
                    break
    for key, count in sorted(counts.items()):
        print(f"{count:8} {' '.join(key)}")
    sys.exit(1 if wrong else 0)


def verdict(answer, theirs, warned, harmed, project):
    if answer["error"] is not None:
        if theirs is None:
            return "refused by both"
        return "refused by us" if harmed else "WRONG: refused"
    if theirs is None:
        return "read with a warning" if warned else "WRONG: read what Python refuses"
    rows = answer["rows"]
    if project is not None and project.__code__.co_argcount == 2:
        same = len(rows) == len(theirs) and all(project(a, b) for a, b in zip(rows, theirs))
    else:
        # Newlines in a quoted field come without the carriage return of their line end.
        theirs = [[lf(x) if isinstance(x, str) else x for x in row] for row in theirs]
        same = [project(row) if project else row for row in rows] == theirs
    if same:
        return "equal"
    return "read with a warning" if warned else "WRONG: differs"


main()
