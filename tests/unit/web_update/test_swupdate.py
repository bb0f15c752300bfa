"""SWUpdate's interface as its clients use it: `curl` for uploads, a WebSocket for the status."""

import base64
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.lab import PASSWORD, Lab, Maker, lab, wait_for
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, RejectConnection, Request, TextMessage

BASIC = base64.b64encode(f"ovenbird:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def port() -> int:
    """A free port for the interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number: int = server.getsockname()[1]
        return number


@pytest.fixture
def device(tmp_path: Path, maker: Maker, port: int) -> Iterator[Lab]:
    """A device whose image has the interface on."""
    with lab(tmp_path / "device", maker, "--swupdate-port", str(port), swupdate_api=True) as running:
        yield running


class Listener:
    """Hears the status until the device hangs up."""

    def __init__(self, port: int, path: str = "/ws", **headers: str) -> None:
        self.said: list[dict[str, str]] = []
        self.accepted: bool | None = None
        self._link = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._wire = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._link.sendall(self._wire.send(Request(host=f"127.0.0.1:{port}", target=path, extra_headers=extra)))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        wait_for(lambda: self.accepted is not None)

    def _listen(self) -> None:
        while data := self._link.recv(65536):
            self._wire.receive_data(data)
            for event in self._wire.events():
                match event:
                    case AcceptConnection():
                        self.accepted = True
                    case TextMessage():
                        self.said.append(json.loads(event.data))
                    case CloseConnection() | RejectConnection():
                        self.accepted = bool(self.accepted)
                        return
                    case _:
                        pass

    def texts(self) -> list[str]:
        """The messages for people."""
        return [said["text"] for said in self.said if said["type"] == "message"]

    def statuses(self) -> list[str]:
        """The states in their order."""
        return [said["status"] for said in self.said if said["type"] == "status"]

    def close(self) -> None:
        """Hang up."""
        self._link.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._link.close()


def curl(*words: str | Path) -> tuple[str, int]:
    """What `curl` got: the body, the status."""
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code}", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    body, _, code = done.stdout.rpartition("\n")
    return body, int(code)


def test_an_upload_with_curl_and_the_status_beside_it(device: Lab, maker: Maker, port: int) -> None:
    listener = Listener(port)
    wait_for(lambda: listener.statuses() == ["IDLE"])
    url = f"http://ovenbird:{PASSWORD}@127.0.0.1:{port}"
    _, code = curl("-F", f"file=@{maker.bundle('1.1.0')}", f"{url}/upload")
    assert code == 200
    wait_for(lambda: "DONE" in listener.statuses())
    assert listener.statuses() == ["IDLE", "START", "RUN", "SUCCESS", "DONE"]
    assert any("SWUPDATE successful" in text for text in listener.texts())
    steps = [said for said in listener.said if said["type"] == "step"]
    assert steps[-1]["percent"] == "100"
    assert all(isinstance(value, str) for said in listener.said for value in said.values())
    assert device.selector().trial == "b"
    assert device.orders == "", "the client orders the restart"
    assert curl("-X", "POST", f"{url}/restart")[1] == 201
    assert device.ordered_restart()
    listener.close()


def test_a_failure_is_told_on_the_websocket_only(device: Lab, maker: Maker, port: int) -> None:
    listener = Listener(port, "/any/path")
    bundle = maker.bundle("1.1.0", stranger=True)
    _, code = curl("-u", f"ovenbird:{PASSWORD}", "-F", f"image=@{bundle}", f"http://127.0.0.1:{port}/upload")
    assert code == 200, "the body was consumed; that is all that SWUpdate's answer says"
    wait_for(lambda: "FAILURE" in listener.statuses())
    assert any("stranger" in text for text in listener.texts())
    assert any("Installation failed" in text for text in listener.texts())
    assert device.selector().trial is None
    listener.close()


def test_it_hears_of_updates_that_came_another_way(device: Lab, maker: Maker, port: int) -> None:
    listener = Listener(port)
    with device.client() as client:
        assert client.post("/update?reboot=0", content=maker.bundle("1.1.0").read_bytes()).status_code == 200
    wait_for(lambda: "SUCCESS" in listener.statuses())
    listener.close()


def test_the_door_is_the_same(device: Lab, maker: Maker, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    bundle = maker.bundle("1.1.0")
    assert curl("-F", f"file=@{bundle}", f"{url}/upload")[1] == 401
    assert curl("-u", "ovenbird:wrong", "-F", f"file=@{bundle}", f"{url}/upload")[1] == 401
    assert curl("-X", "POST", f"{url}/restart")[1] == 401
    right = ("-u", f"ovenbird:{PASSWORD}")
    assert curl(*right, "-H", "Origin: http://evil.example", "-F", f"file=@{bundle}", f"{url}/upload")[1] == 403
    assert curl(*right, "-H", "Host: evil.example", "-F", f"file=@{bundle}", f"{url}/upload")[1] == 403
    assert curl(*right, "--data-binary", "@/dev/null", f"{url}/upload")[1] == 400
    assert curl(*right, "-F", "field=nothing", f"{url}/upload")[1] == 400
    assert device.orders == ""
    stranger = Listener(port, Origin="http://evil.example")
    assert stranger.accepted is False
    own = Listener(port, Origin=f"http://127.0.0.1:{port}")
    assert own.accepted is True
    own.close()


def test_it_is_off_unless_the_image_says_so(device: Lab, port: int) -> None:
    device.stop()
    (device.folder / "update.json").write_text("{}")
    device.start()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
