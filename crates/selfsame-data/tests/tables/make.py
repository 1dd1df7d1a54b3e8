#!/usr/bin/env python3
"""Tables as pyarrow and pandas write them, and the same as text.

    pip install pyarrow && python3 make.py
"""

import datetime

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

numbers = [1.5, None, -2.25, 1e-7, 3.0, 12345678.0]
columns = {
    "f64": pa.array(numbers, pa.float64()),
    "f32": pa.array([0.1, 0.2, 0.3, None, 0.5, 0.6], pa.float32()),
    "i8": pa.array([1, -2, 3, 4, 5, 7], pa.int8()),
    "u16": pa.array([1, 2, None, 4, 5, 65535], pa.uint16()),
    "i64": pa.array([9, 8, 7, 6, 5, 1], pa.int64()),
    "flag": pa.array([True, False, True, None, False, True], pa.bool_()),
    "color": pa.array(["red", "blue", "red", None, "blue", "red"], pa.string()).dictionary_encode(),
    "word": pa.array(["é, x", "b", "b", "é, x", "b", "b"], pa.large_string()),
    "empty": pa.array([None] * 6, pa.string()),
    "label": pa.array(["no", "yes", "no", "yes", "no", "yes"], pa.string()),
}
table = pa.table(columns)
pq.write_table(table, "mixed.parquet", compression="snappy")
pq.write_table(table, "plain.parquet", compression="none", use_dictionary=False, data_page_version="2.0", row_group_size=2)
pa.csv.write_csv(table, "mixed.csv", pa.csv.WriteOptions(quoting_style="needed"))
small = pa.table({"x": pa.array([1.0, 2.0, 3.0]), "when": pa.array([datetime.date(2020, 1, d) for d in (1, 2, 3)])})
pq.write_table(small, "dates.parquet")
pq.write_table(pa.table({"x": pa.array([1.0, 2.0]), "pair": pa.array([[1, 2], [3, 4]])}), "nested.parquet")
pq.write_table(pa.table({"x": pa.array([1.0, 2.0, 3.0])}), "zstd.parquet", compression="zstd")
