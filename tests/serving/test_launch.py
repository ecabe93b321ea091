import shutil
import socket
from pathlib import Path

import pytest

from features.errors import BadEnvironment, BadUsage
from serving.launch import serve


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
