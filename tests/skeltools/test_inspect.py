from __future__ import annotations

import json
from dataclasses import replace

import pytest

from schemas import Finding, StoreError
from skeltools import cli
from skeltools.conversion import convert
from skeltools.inspect import statistics

A, B, C = "S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A002"


def test_statistics_tell_what_was_put_in(recordings, clip, tmp_path):
    mended = Finding(file="x", problem="not a number", detail="1 pose", action="treated as absent")
    recordings.add(
        clip(A, frames=4), clip(B, frames=10, bodies=2), replace(clip(C, frames=7), findings=(mended,))
    )
    recordings.add(clip(B, "smplx_42", frames=10))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr")
    found = statistics(tmp_path / "s.zarr")
    assert json.loads(json.dumps(found)) == found
    assert found["samples"] == 3
    assert found["synthetic"] is False
    native, estimated = found["conventions"]["kinectv2_25"], found["conventions"]["smplx_42"]
    assert (native["samples"], native["missing"], native["frames"], native["bodies"]) == (3, 0, 21, 2)
    assert (estimated["samples"], estimated["missing"], estimated["joints"]) == (1, 2, 42)
    assert estimated["mirrored_video"] is True
    assert found["protocols"]["xsub"]["train"] == 2
    assert found["protocols"]["xview"]["test"] == 1
    assert [(row["label"], row["samples"]) for row in found["classes"]] == [(0, 1), (1, 2)]
    assert found["frames"]["median"] == 7
    assert found["fields"]["camera"] == {"1": 1, "2": 1, "3": 1}
    assert found["bodies"] == {"1": 2, "2": 1}
    assert found["findings"]["counts"] == {"not a number": 1}
    assert found["findings"]["rows"][0]["detail"] == "1 pose"
    assert found["streams"]["streams/kinectv2_25/t50/joint"]["shape"] == [3, 3, 50, 25, 2]
    sizes = [row["bytes"] for row in found["streams"].values()]
    assert all(size > 0 for size in sizes)
    assert sum(sizes) < found["bytes"]
    assert found["bytes"] == sum(p.stat().st_size for p in (tmp_path / "s.zarr").rglob("*") if p.is_file())


def test_no_store(tmp_path):
    with pytest.raises(StoreError, match="is not a skeleton store"):
        statistics(tmp_path)


def test_findings_in_every_form(recordings, clip, tmp_path, capfd):
    rows = [Finding(file=f"{n:02}.txt", problem="unknown file name", action="skipped") for n in range(30)]
    rows.append(Finding(file="=1+1", place="line 2", problem="truncated", detail="x" * 200, action="skipped"))
    recordings.add(clip(A))
    recordings.listed.extend(rows)
    path = tmp_path / "s.zarr"
    convert("ntu60", raw=recordings.raw, out=path)
    assert cli.run(["inspect", str(path), "--findings", "--csv"]) == 0
    table = capfd.readouterr().out
    assert table.encode().replace(b"\r\n", b"\n") == (path / "findings.csv").read_bytes().replace(
        b"\r\n", b"\n"
    )
    assert table.count("unknown file name") == 30
    assert "'=1+1,line 2,truncated" in table
    assert cli.run(["inspect", str(path), "--findings", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == [row.model_dump() for row in rows]
    assert cli.run(["inspect", str(path), "--findings"]) == 0
    out = capfd.readouterr().out
    assert out.count("unknown file name") == 30
    assert "samples" not in out
    assert cli.run(["inspect", str(path)]) == 0
    out = capfd.readouterr().out
    assert "findings: 31 (--findings lists all)" in out
    assert out.count("unknown file name") == 1
    assert "00.txt; 01.txt; 02.txt" in out
    assert cli.run(["inspect", str(path), "--csv"]) == 2
    assert cli.run(["inspect", str(path), "--findings", "--csv", "--json"]) == 2


def test_no_findings(recordings, clip, tmp_path, capfd):
    recordings.add(clip(A))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr")
    assert cli.run(["inspect", str(tmp_path / "s.zarr"), "--findings"]) == 0
    assert capfd.readouterr().out == "findings: none\n"
    assert (tmp_path / "s.zarr" / "findings.csv").read_bytes() == b"file,place,problem,detail,action\r\n"
