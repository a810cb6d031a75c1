import csv
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from earmark import cli
from earmark.errors import EarmarkError
from earmark.web.decisions import NAME, read_decisions
from earmark.web.security import Access
from earmark.web.serve import address_of, listening
from tests.web.conftest import POST, Place


def start(place: Place, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Starts ``earmark review`` as a program, and gives its address."""
    command = [sys.executable, "-m", "earmark", "review", str(place.audit), "--no-browser", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    address = re.search(r"http://\S+", line)
    assert address, (line, process.communicate()[1])
    return process, address[0]


@contextmanager
def started(place: Place, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, address = start(place, *options)
    try:
        yield process, address
    finally:
        process.kill()
        process.communicate()


def decide(client: httpx.Client, by: str, action: str = "none") -> int:
    """Decides on the next clip, and gives its rank."""
    headers = POST | {"X-Reviewer": by}
    (item,) = client.get("/api/queue", params={"count": 1, "verified": "both"}, headers=headers).json()["items"]
    client.post("/api/decisions", json={"rank": item["rank"], "action": action}, headers=headers).raise_for_status()
    rank: int = item["rank"]
    return rank


def rows_of(place: Place) -> list[dict[str, str]]:
    with (place.audit / "corrections.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ranks_of(place: Place, clips: Sequence[str]) -> list[int]:
    with (place.audit / "suspects.csv").open(encoding="utf-8", newline="") as file:
        rank = {row["clip_id"]: int(row["rank"]) for row in csv.DictReader(file)}
    return [rank[clip] for clip in clips]


@pytest.mark.slow
def test_nothing_is_lost_if_the_server_is_killed_after_every_decision(place: Place) -> None:
    answered = []
    for _ in range(4):
        with started(place) as (process, address), httpx.Client(base_url=address) as client:
            answered.append(decide(client, "ann"))
            process.kill()  # SIGKILL: nothing of the program runs any more
            process.wait()
            assert ranks_of(place, [made.clip_id for made in read_decisions(place.audit / NAME)]) == answered
    assert len(set(answered)) == 4
    with started(place) as (process, address), httpx.Client(base_url=address) as client:
        assert client.get("/api/state", params={"verified": "both"}).json()["heard"] == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert ranks_of(place, [row["clip_id"] for row in rows_of(place)]) == answered


@pytest.mark.slow
def test_killed_in_the_middle_of_decisions(place: Place) -> None:
    """Whatever was answered is there, and the file is whole."""
    process, address = start(place)
    answered: list[int] = []

    def review() -> None:
        try:
            with httpx.Client(base_url=address) as client:
                for rank in range(1, 24):
                    client.post("/api/decisions", json={"rank": rank, "action": "none"}, headers=POST).raise_for_status()
                    answered.append(rank)
                    if rank == 8:
                        eighth.set()
        except httpx.HTTPError:
            pass

    eighth = threading.Event()
    thread = threading.Thread(target=review)
    thread.start()
    assert eighth.wait(20)
    process.kill()
    thread.join()
    process.communicate()
    kept = ranks_of(place, [made.clip_id for made in read_decisions(place.audit / NAME)])
    assert kept[: len(answered)] == answered
    assert len(kept) <= len(answered) + 1  # one may have been saved, but not answered
    with started(place) as (_, again), httpx.Client(base_url=again) as client:
        assert client.get("/api/state", params={"verified": "both"}).json()["heard"] == len(kept)


@pytest.mark.slow
def test_two_servers_at_once_and_an_end_by_ctrl_c(place: Place) -> None:
    with started(place, "--by", "ann") as (first, one), started(place, "--by", "bo") as (second, two):
        assert one != two  # the second has found a port of its own
        ranks: dict[str, list[int]] = {"ann": [], "bo": []}

        def review(by: str, address: str) -> None:
            with httpx.Client(base_url=address) as client:
                ranks[by] = [decide(client, by, "unusable") for _ in range(8)]

        threads = [threading.Thread(target=review, args=pair) for pair in (("ann", one), ("bo", two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = read_decisions(place.audit / NAME)
        for by, own in ranks.items():
            assert ranks_of(place, [row.clip_id for row in made if row.by == by]) == own
        for process in (first, second):
            process.send_signal(signal.SIGINT)
            said, told = process.communicate(timeout=15)
            assert process.returncode == 0
            assert f"clips heard: {place.audit / 'corrections.csv'}" in said
            corrected = place.sounds / f"corrected-{place.audit.name}.csv"
            command = f"earmark apply-corrections {place.store} {place.audit} --out {corrected}"
            assert said.splitlines()[-1] == f"{command} makes a corrected manifest"
            assert cli.run(command.split()[1:]) == 0
            assert corrected.exists()
            assert told == "Ctrl-C ends it; every decision is on the disk by then\n"
        assert {row["clip_id"] for row in rows_of(place)} == {row.clip_id for row in made}
        assert not (place.audit / f"{NAME}-wal").exists()  # the last to leave has tidied up


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_well(place: Place, number: int) -> None:
    with started(place) as (process, address), httpx.Client(base_url=address) as client:
        decide(client, "ann")
        with client.stream("GET", "/api/sound/0.wav"):  # somebody is still listening
            process.send_signal(number)
            assert process.wait(10) == 0
    assert len(rows_of(place)) == 1


@pytest.mark.slow
def test_a_server_for_other_machines(place: Place) -> None:
    with started(place, "--host", "0.0.0.0", "--port", str(free_port())) as (_, address):
        where, token = re.fullmatch(r"http://[^:]+:(\d+)/\?token=(\S+)", address).groups()  # type: ignore[union-attr]
        with httpx.Client(base_url=f"http://127.0.0.1:{where}") as client:
            assert client.get("/api/state").status_code == 401
            assert client.get("/", params={"token": "wrong"}).status_code == 401
            assert client.get("/", params={"token": token}).status_code == 303
            assert client.get("/api/state").status_code == 200
            assert decide(client, "ann") > 0


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def test_ports() -> None:
    with listening("127.0.0.1", None) as first, listening("127.0.0.1", None) as second:
        taken = first.getsockname()[1]
        assert second.getsockname()[1] not in (0, taken)
        with pytest.raises(EarmarkError, match=f"port {taken} of 127.0.0.1 is taken"):
            listening("127.0.0.1", taken)
    with listening("127.0.0.1", taken) as again:  # a port can be had again at once
        assert again.getsockname()[1] == taken
    with pytest.raises(EarmarkError, match="no address of that name is known"):
        listening("no.such.host.invalid", None)
    with pytest.raises(EarmarkError, match="cannot be had"):
        listening("192.0.2.1", None)  # of no machine


def test_addresses() -> None:
    assert address_of(Access.to("127.0.0.1", 8765), "127.0.0.1") == "http://127.0.0.1:8765/"
    assert address_of(Access.to("::1", 8765), "::1") == "http://[::1]:8765/"
    everywhere = Access.to("0.0.0.0", 8765)
    assert address_of(everywhere, "0.0.0.0") == f"http://{socket.gethostname()}:8765/?token={everywhere.token}"


def test_opening_does_not_need_torch(place: Place) -> None:
    code = (
        "import sys, uvicorn; from earmark.cli import run\n"
        "uvicorn.Server.run = lambda *_, **__: None\n"  # as if somebody had ended it at once
        f"status = run(['review', {str(place.audit)!r}, '--no-browser'], own_process=True)\n"
        "sys.exit(9 if 'torch' in sys.modules else status)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
    assert (place.audit / "corrections.csv").exists()
