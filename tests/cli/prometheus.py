# SPDX-License-Identifier: GPL-2.0-only
"""Prometheus, promtool and node_exporter of Debian for tests: real ones, on ports of their own.

Their packages are fetched once into the user's cache and unpacked there, never installed: on the
machine nothing is started by them, and nothing is left running by a test.
"""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGES = ("prometheus", "prometheus-node-exporter")
_PATIENCE_S = 60


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "exittop" / "prometheus"


def program(name: str) -> Path:
    """The path of "prometheus", "promtool" or "prometheus-node-exporter"."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "root/usr/bin" / name).exists():
            _fetch(folder)
    return folder / "root/usr/bin" / name


def _packages() -> tuple[str, ...]:
    """From Debian 13 on promtool is a package of its own."""
    done = subprocess.run(["apt-cache", "show", "promtool"], check=False, capture_output=True)
    return PACKAGES if done.returncode else (*PACKAGES, "promtool")


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *_packages()],
                       cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        for deb in Path(temporary).glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb, Path(temporary) / "root"], check=True)
        (Path(temporary) / "root").rename(folder / "root")


def check_metrics(text: bytes) -> str:
    """What `promtool check metrics` has to say of it; nothing if all is well."""
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, check=False,
                          capture_output=True)
    said = (done.stdout + done.stderr).decode(errors="replace")
    return said if done.returncode == 0 else f"status {done.returncode}: {said}"


def until(what: str, condition: Callable):
    """The first result of `condition` that is true; AssertionError if none comes."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"waited {_PATIENCE_S} s in vain for {what}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _get(url: str) -> bytes | None:
    """The body, also of an error; nothing while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()
    except OSError:
        return None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _server(command: list, log: Path, ready: str) -> Iterator[None]:
    """Runs a server as long as the block; `ready` is an address that answers with status 200 once
    it is up. Before, Prometheus answers with 503 to everything."""
    with open(log, "wb") as said:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                   stdout=said, stderr=said, cwd=log.parent)
    try:
        until(f"{command[0]}; it said: {log.read_text()[-500:]}",
              lambda: process.poll() is not None or _answers(ready))
        if process.poll() is not None:
            raise AssertionError(f"{command[0]} ended: {log.read_text()[-1000:]}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class NodeExporter:
    """node_exporter with nothing but its textfile collector; reads *.prom of a folder."""

    def __init__(self, port: int):
        self.target = f"127.0.0.1:{port}"

    def metrics(self) -> str:
        return _get(f"http://{self.target}/metrics").decode()

    def scrape_error(self) -> bool:
        """Whether it could not read some file of the folder as it is now."""
        return "\nnode_textfile_scrape_error 1" in self.metrics()


@contextlib.contextmanager
def node_exporter(textfiles: Path, work: Path) -> Iterator[NodeExporter]:
    port = _free_port()
    command = [program("prometheus-node-exporter"), "--collector.disable-defaults",
               "--collector.textfile", f"--collector.textfile.directory={textfiles}",
               f"--web.listen-address=127.0.0.1:{port}"]
    with _server(command, work / "node_exporter.log", f"http://127.0.0.1:{port}/metrics"):
        yield NodeExporter(port)


class Prometheus:
    """A Prometheus server that scrapes what it is given."""

    def __init__(self, port: int):
        self.address = f"http://127.0.0.1:{port}"

    def api(self, path: str, **parameters) -> dict | list:
        """The data that the API's v1/`path` answers; AssertionError where it has an error."""
        query = urllib.parse.urlencode(parameters)
        answer = json.loads(_get(f"{self.address}/api/v1/{path}?{query}"))
        if answer["status"] != "success":
            raise AssertionError(f"{path} {parameters}: {answer['error']}")
        return answer["data"]

    def query(self, expression: str, **parameters) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query's vector."""
        data = self.api("query", query=expression, **parameters)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, expression: str, **parameters) -> float | None:
        """The one value of a query; nothing if it has none."""
        found = self.query(expression, **parameters)
        assert len(found) <= 1, f"{expression} has {len(found)} series"
        return found[0][1] if found else None

    def alerts(self) -> dict[str, str]:
        """States ("pending", "firing") of the alerts that are not inactive, by name."""
        return {alert["labels"]["alertname"]: alert["state"]
                for alert in self.api("alerts")["alerts"]}


@contextlib.contextmanager
def prometheus(work: Path, targets: list[str], rules: tuple[Path, ...] = (),
               interval: str = "1s", arguments: tuple[str, ...] = ()) -> Iterator[Prometheus]:
    """Prometheus with its data in `work`, scraping and evaluating every `interval`."""
    port = _free_port()
    # A configuration may be JSON, which is YAML too.
    configuration = {"global": {"scrape_interval": interval, "scrape_timeout": interval,
                                "evaluation_interval": interval},
                     "rule_files": [str(rule) for rule in rules],
                     "scrape_configs": [{"job_name": "node",
                                         "static_configs": [{"targets": targets}]}]}
    (work / "prometheus.yml").write_text(json.dumps(configuration))
    command = [program("prometheus"), f"--config.file={work / 'prometheus.yml'}",
               f"--storage.tsdb.path={work / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
               "--log.level=warn", *arguments]
    with _server(command, work / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield Prometheus(port)
