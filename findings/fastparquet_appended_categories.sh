#!/usr/bin/env bash
# Versions:  fastparquet 2026.9.0, pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6.
# Behaviour: rows appended with other categories rename those of the rows before. Each row group
#            keeps its own dictionary in the file, but to_pandas reads the codes of all groups into
#            one array and names them by the last group's dictionary; its check for a second
#            dictionary looks at one row group only. With categories=["city"], files by pyarrow
#            likewise. The file is right: pyarrow and iter_row_groups find the names. No warning.
# Guess:     the union of the categories, or an error, as reading gives for a column without a
#            dictionary; write's append asks that "the schema must match", and it does.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastparquet==2026.9.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6

cd "$dir"
"$dir/venv/bin/python" -I - <<'EOF'
import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

may = pd.DataFrame({"city": pd.Categorical(["Bern", "Rome", "Bern"]), "sales": [10, 20, 30]})
june = pd.DataFrame({"city": pd.Categorical(["Rome", "Wien", "Wien"]), "sales": [40, 50, 60]})
right = [*may.city, *june.city]

fastparquet.write("appended.parquet", may)
fastparquet.write("appended.parquet", june, append=True)
file = fastparquet.ParquetFile("appended.parquet")
found = {
    "to_pandas()": file.to_pandas().city,
    "pandas, pyarrow": pd.read_parquet("appended.parquet", engine="pyarrow").city,
    "iter_row_groups": pd.concat(group.city.astype(str) for group in file.iter_row_groups()),
    "categories=[]": file.to_pandas(categories=[]).city,
}
with pa.parquet.ParquetWriter("pyarrow.parquet", pa.Schema.from_pandas(may)) as writer:
    for month in (may, june):
        writer.write_table(pa.Table.from_pandas(month))
file = fastparquet.ParquetFile("pyarrow.parquet")
found["pyarrow's file"] = file.to_pandas(categories=["city"]).city

print("written:            ", *right)
for name, cities in found.items():
    print(f"{name:20}", *cities)
sales = fastparquet.ParquetFile("appended.parquet").to_pandas()
print("sales by city:      ", sales.groupby("city", observed=True).sales.sum().to_dict())

wrong = ["Rome", "Wien", "Rome", "Rome", "Wien", "Wien"]
for name, cities in found.items():
    assert list(cities) == (wrong if name in ("to_pandas()", "pyarrow's file") else right)
EOF
