import hashlib
import os
from pathlib import Path

import pyarrow.parquet

from earmark.data.manifest import read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_clip_half_written_when_the_machine_went_down_is_done_again(rendered: Path, store: Store, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    out = tmp_path / "store"
    prepare(manifest, str(rendered), out, [8000, 16000])
    partial = tmp_path / ".store.partial"
    out.rename(partial)
    table = pyarrow.parquet.read_table(partial / "clips.parquet").to_pylist()
    fingerprint = Store.open(partial).fingerprint
    import json

    lines = [json.dumps({"fingerprint": fingerprint, "sample_rates": [8000, 16000]})]
    for number in range(40):
        rows = {str(r["sample_rate"]): r for r in table if r["row"] == number}
        columns = ("offset", "length", "scale", "peak", "lead", "tail")
        line = {"clip": number, "content_hash": rows["8000"]["content_hash"]}
        lines.append(json.dumps(line | {rate: {c: row[c] for c in columns} for rate, row in rows.items()}))
    (partial / "journal.jsonl").write_text("\n".join(lines) + "\n" + lines[-1][:30])  # its last line is cut off, too
    last = next(r for r in table if r["row"] == 39 and r["sample_rate"] == 16000)
    os.truncate(partial / "pcm-16000.i16", 2 * (last["offset"] + 10))
    prepare(manifest, str(rendered), out, [8000, 16000])
    assert contents(out) == contents(store.path)
