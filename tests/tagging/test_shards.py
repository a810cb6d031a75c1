import subprocess
from pathlib import Path

import pytest

from earmark.errors import EarmarkError
from earmark.tagging.shards import array_script, is_in_shard, parse_shard, shard_path

PATHS = [f"folder/{number}.wav" for number in range(2000)]


def test_every_sound_is_in_one_shard_and_they_are_of_like_size() -> None:
    for first in (0, 1):
        shards = [[path for path in PATHS if is_in_shard(path, (number, 8))] for number in range(first, first + 8)]
        assert sorted(path for shard in shards for path in shard) == sorted(PATHS)
        assert all(200 <= len(shard) <= 300 for shard in shards)  # 250 ± 15


def test_a_sounds_shard_never_changes() -> None:
    """Else a run that an earlier version began would go on with other sounds."""
    digest = 0x0FD95A18DDC5D7E5  # printf folder/0.wav | b2sum -l 64
    assert [number for number in range(8) if is_in_shard("folder/0.wav", (number, 8))] == [digest % 8]
    assert is_in_shard("a", (1, 1)) and is_in_shard("caf\udce9", (0, 1))


@pytest.mark.parametrize("text", ["", "3", "3/", "/8", "9/8", "-1/8", "0/0", "1/2/3", "a/b", "1.0/2"])
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(EarmarkError, match="such as 3/64"):
        parse_shard(text)


@pytest.mark.parametrize("form", ["csv", "jsonl", "table"])
@pytest.mark.parametrize("out", ["tags.csv", "o'dd dir/my tags"])
def test_the_script_of_an_array_runs_the_command_once_a_shard(tmp_path: Path, form: str, out: str) -> None:
    """A stand-in for the command writes what it was given; the last line joins what the tasks have written."""
    command = tmp_path / "earmark stand-in"
    command.write_text(
        "#!/bin/bash\n"
        'while [ "$1" != --out ]; do [ "$1" = --shard ] && shard=$2; shift; done\n'
        'printf "header\\n%s %s\\n" "$shard" "$(IFS=,; echo "${*:3}")" > "$2"; exit 3\n'
    )
    command.chmod(0o755)
    (tmp_path / "o'dd dir").mkdir()
    sounds = ["a b.wav", "-c.wav", "$HOME", "*.wav", "new\nline.wav"]
    script = array_script([str(command)], ["--top-k", "5"], sounds, Path(out), form, 3, threads=2)
    assert "#SBATCH --array=1-3\n" in script and "#SBATCH --cpus-per-task=2\n" in script
    (tmp_path / "array.sh").write_text(script)
    for task in ("1", "2", "3"):
        done = subprocess.run(
            ["bash", "array.sh"],
            cwd=tmp_path,
            env={"SLURM_ARRAY_TASK_ID": task, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert shard_path(tmp_path / out, task, 3).read_text() == f"header\n{task}/3 --,{','.join(sounds)}\n"
    join = script.splitlines()[-1].partition("To join the parts: ")[2]
    subprocess.run(["bash", "-c", join], cwd=tmp_path, check=True)
    parts = [f"{task}/3 --,{','.join(sounds)}\n" for task in (1, 2, 3)]
    expected = "header\n" + "".join(parts) if form == "csv" else "".join(f"header\n{part}" for part in parts)
    assert (tmp_path / out).read_text() == expected


def test_other_faults_of_a_task_are_its_own(tmp_path: Path) -> None:
    script = array_script(["false"], [], ["a.wav"], Path("t.parquet"), "parquet", 1, None)
    assert "--cpus-per-task" not in script
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={"SLURM_ARRAY_TASK_ID": "1", "PATH": "/bin:/usr/bin"}, check=False
    )
    assert done.returncode == 1
