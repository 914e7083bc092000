"""Reads photos.parquet, the same file of a run that ended early, and photos.jsonl by pyarrow, DuckDB
and Polars, and prints what each finds as lines of JSON: the reader, the file, the rows."""

import json
import sys

import duckdb
import polars
import pyarrow.json
import pyarrow.parquet


def plain(value):
    """A value as JSON has it: readers show a map as pairs, as dicts of key and value, or as a dict."""
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def row(found):
    found = plain(found)
    counts = found["counts"]
    if isinstance(counts, list):
        pairs = [list(pair.values()) if isinstance(pair, dict) else pair for pair in counts]
        counts = dict(pairs)
    # In JSON, where one type has all keys of all rows.
    found["counts"] = {key: count for key, count in counts.items() if count is not None}
    # A tuple has fields in Parquet, and is a list in JSON.
    found["size"] = list(found["size"].values()) if isinstance(found["size"], dict) else found["size"]
    return found


def sql(query):
    found = duckdb.sql(query)
    return [dict(zip(found.columns, values)) for values in found.fetchall()]


for name in ["photos.parquet", "photos.parquet.partial"]:
    path = f"{sys.argv[1]}/{name}"
    for reader, rows in [
        ("pyarrow", pyarrow.parquet.read_table(path).to_pylist()),
        ("duckdb", sql(f"SELECT * FROM read_parquet('{path}')")),
        ("polars", polars.read_parquet(path, glob=False).to_dicts()),
    ]:
        print(json.dumps([reader, name, [row(found) for found in rows]]))

path = f"{sys.argv[1]}/photos.jsonl"
for reader, rows in [
    ("pyarrow", pyarrow.json.read_json(path).to_pylist()),
    ("duckdb", sql(f"SELECT * FROM read_json('{path}')")),
    ("polars", polars.read_ndjson(path).to_dicts()),
]:
    print(json.dumps([reader, "photos.jsonl", [row(found) for found in rows]]))
