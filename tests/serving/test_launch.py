import os
import shutil
import socket
from pathlib import Path

import pytest

from features.errors import BadEnvironment, BadUsage
from serving.keys import entry, make_key
from serving.launch import serve
from serving.workers import Workers


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_for_other_machines_without_keys_it_does_not_start(plain_bundle: Path) -> None:
    with pytest.raises(BadUsage) as caught:
        serve(plain_bundle, "0.0.0.0", free_port())
    assert caught.value.code == "no_keys"
    assert "JOURNEYCAST_SERVE_KEY_FILE" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "fault", "code"),
    [
        ("localhost", 3000, BadUsage, "bad_host"),
        ("127.0.0.1", 80_000, BadUsage, "bad_port"),
        ("127.0.0.1", 0, BadUsage, "bad_port"),
        ("192.0.2.1", 3000, BadEnvironment, "cannot_listen"),
    ],
)
def test_an_address_that_cannot_be_served_is_told(
    plain_bundle: Path, host: str, port: int, fault: type[Exception], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNEYCAST_SERVE_ANYONE", "true")
    with pytest.raises(fault) as caught:
        serve(plain_bundle, host, port)
    assert caught.value.code == code  # type: ignore[attr-defined]


def test_a_taken_port_is_told(plain_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadEnvironment) as caught:
        serve(plain_bundle, "127.0.0.1", taken.getsockname()[1])
    assert caught.value.code == "cannot_listen"


def test_a_folder_without_a_bundle_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(BadUsage) as caught:
        serve(tmp_path)
    assert caught.value.code == "no_bundle"


def test_a_damaged_bundle_is_not_served(plain_bundle: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(plain_bundle, tmp_path / "damaged")
    (damaged / "model.json").write_bytes(b"{}")
    with pytest.raises(BadEnvironment):
        serve(damaged)


@pytest.mark.parametrize(
    ("setting", "content", "code"),
    [
        ("KEY_FILE", "no key\n", "bad_keys"),
        ("SECRET_FILE", "no secret\n", "bad_secrets"),
        ("KEY_FILE", None, "unreadable_keys"),
    ],
)
def test_keys_that_cannot_be_read_end_the_start(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, content: str | None, code: str
) -> None:
    if content is not None:
        (tmp_path / "file.txt").write_text(content)
    monkeypatch.setenv(f"JOURNEYCAST_SERVE_{setting}", str(tmp_path / "file.txt"))
    with pytest.raises(BadUsage) as caught:
        serve(plain_bundle, port=free_port())
    assert caught.value.code == code


def test_a_key_file_is_looked_for_in_the_users_folder(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, str] = {}

    def remember(_: Workers) -> None:
        given.update(os.environ)

    (tmp_path / "keys.txt").write_text(entry("crm", make_key()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("JOURNEYCAST_SERVE_KEY_FILE", "keys.txt")
    monkeypatch.setattr(Workers, "keep", remember)
    port = free_port()
    serve(plain_bundle, port=port)
    assert given["JOURNEYCAST_SERVE_KEY_FILE"] == str(tmp_path / "keys.txt")
    assert capsys.readouterr().err.splitlines()[-1] == f"listening on http://127.0.0.1:{port}"
