"""The lab: runs its hand-written scripts, writes the profile of its device, and runs the suite."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from fixtures.artifacts.store import provide
from fixtures.images.build import build_images, image_architecture
from fixtures.images.debian import DebianRecipe, root_filesystem
from fixtures.paths import CHECKOUT
from fixtures.profile import ArtifactOrder
from fixtures.progress import Progress
from fixtures.reference.engine import Engine
from fixtures.target import JsonValue
from reports import store
from reports.model import Results
from tests.conformance.child import ATTACH_ONLY, LOCK_HELD
from tests.existing_cluster.workload import IMAGES, MODELS, ROLES

SCRIPTS = Path(__file__).parent / "lab"
NODE = "acme-box-1"
LAN_HOST = "198.19.66.2"
_INTERRUPT_GRACE_S = 60.0
_PROGRAMS = ("kine", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
# An ordinary Debian with a container runtime and sshd; nothing of the suite's own nodes is in it.
_DEBIAN = DebianRecipe(
    "lab",
    (
        *("ca-certificates", "catatonit", "containerd", "containernetworking-plugins", "iproute2"),
        *("iptables", "libpython3.11-stdlib", "mount", "openssh-server", "procps"),
        *("python3.11-minimal", "runc", "runit", "util-linux"),
    ),
    configured=True,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is carried into the lab: a machine's image, programs, and images as OCI layouts."""

    machine: str
    programs: tuple[Path, ...]
    images: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """A run of the suite on the bench: its exit status, words, and results.json."""

    exit_code: int
    output: str
    results: Results

    def outcomes(self) -> dict[str, str]:
        """What each requirement that was run or skipped came to."""
        found = self.results.requirements
        return {one.id: one.outcome for one in found if one.outcome != "not-run"}

    def message(self, id: str) -> str:
        """Why a requirement failed or was skipped."""
        return next(one.message for one in self.results.requirements if one.id == id)


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up. ``environment`` is that of Podman's commands."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """By which its containers and its disk are named and labelled."""
        return self.folder.name

    def script(self, name: str, *arguments: str, timeout_s: float = 120.0) -> None:
        """Run one of the scripts; CalledProcessError with its words if it fails."""
        run_script(name, arguments, self.environment, timeout_s)

    def on_bench(self, argv: Sequence[str]) -> list[str]:
        """The command that runs another one in the network of the bench."""
        pid = (self.folder / "bench.pid").read_text("utf-8").strip()
        return ["nsenter", f"--net=/proc/{pid}/ns/net", *argv]

    def address(self) -> dict[str, JsonValue]:
        """How the box is reached: everything that the profile of a device may say."""
        switch = [str(SCRIPTS / "switch.sh"), str(self.folder)]
        return {
            "lanHost": LAN_HOST,
            "ssh": f"root@{LAN_HOST}",
            "sshConfig": "ssh_config",
            "powerOffHook": [*switch, "power-off"],
            "powerOnHook": [*switch, "power-on"],
            "linkCutHook": [*switch, "cut-link"],
            "linkHealHook": [*switch, "heal-link"],
        }

    def profile(
        self,
        requirements: Sequence[str],
        address: Mapping[str, JsonValue],
        **thresholds: float,
    ) -> Path:
        """Write the profile of the box, as its vendor would, and give its path."""
        taint: JsonValue = {
            "key": "acme.example/inference-only",
            "value": "yes",
            "effect": "NoSchedule",
        }
        example = yaml.safe_load((CHECKOUT / "profiles/existing-example.yaml").read_text("utf-8"))
        document = {
            "apiVersion": "edge-conformance/v1",
            "name": "acme-box",
            "deployment": "existing",
            "existing": {"probeImage": IMAGES["probe"]},
            "serving": {"models": list(MODELS), "conformance": dict(ROLES)},
            "nodes": [
                {
                    "name": NODE,
                    "labels": {"acme.example/hall": "7"},
                    "taints": [taint],
                    "address": dict(address),
                }
            ],
            "claims": {"families": [], "requirements": list(requirements)},
            "thresholds": {**example["thresholds"], **thresholds},
            "load": {**example["load"], "model": "anomaly-window", "protocol": "http"},
        }
        path = self.folder / "acme-box.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return path

    def run_suite(
        self, profile: Path, requirements: Sequence[str], report: Path, timeout_s: float
    ) -> SuiteRun:
        """Run the real suite on the bench, as the vendor's tester, and read its results.json."""
        command = [
            *(sys.executable, "-m", "pytest", "conformance", "-p", "no:cacheprovider"),
            *("--deployment", "existing", "--profile", str(profile)),
            *("--kubeconfig", str(self.folder / "tester.kubeconfig")),
            *("--requirements", ",".join(requirements), "--report-dir", str(report)),
        ]
        # A run of its own: neither the state nor the locks of the deployment that is up.
        inherited = {
            name: value
            for name, value in self.environment.items()
            if not name.startswith(("PYTEST_", "KUBECONFIG"))
            and name not in (LOCK_HELD, ATTACH_ONLY)
        }
        process = subprocess.Popen(
            self.on_bench(command),
            cwd=CHECKOUT,
            env={**inherited, "EDGE_CONFORMANCE_STATE": str(self.folder / "state")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output = _communicate(process, timeout_s)
        return SuiteRun(process.returncode, output, store.read(report))


def prepare(engine: Engine, artifacts: ArtifactOrder, progress: Progress) -> Parts:
    """What is carried into the lab, out of the cache where it is there."""
    files: dict[str, Path] = {}
    for part in ("kubernetes-kubeedge", "kubelet", "kine"):
        provided = provide(part, artifacts.order, artifacts.path, progress)
        files |= {name: file.path for name, file in provided.files.items()}
    images = build_images(files, progress)
    debian = root_filesystem(_DEBIAN, image_architecture(), progress)
    # Under the name of the suite's node images, so that `python -m fixtures clean` removes it.
    machine = f"localhost/edge-conformance/node:lab-{debian.key[:16]}"
    if not engine.has_image(machine):
        with progress.stage("the lab's Debian into the engine", 15):
            engine.import_image(debian.tar, machine)
    return Parts(
        machine,
        tuple(files[name] for name in _PROGRAMS),
        {reference: images.oci[name].layout for name, reference in IMAGES.items()},
    )


@contextmanager
def up(folder: Path, engine: Engine, parts: Parts, progress: Progress) -> Iterator[Lab]:
    """Bring the lab up in an empty folder, whose name becomes the lab's; remove all of it after."""
    lab = Lab(folder, {**engine.environment, "PYTHONDONTWRITEBYTECODE": "1"})
    try:
        with progress.stage("the lab's machines", 8):
            lab.script("up.sh", str(folder), parts.machine, *map(str, parts.programs))
        with progress.stage("images onto the box", 15):
            carried = [f"{name}={layout}" for name, layout in parts.images.items()]
            lab.script("images.sh", lab.name, *carried, timeout_s=240)
        with progress.stage("the lab's workload", 10):
            module = "tests.existing_cluster.workload"
            admin = str(folder / "admin.kubeconfig")
            argv = lab.on_bench([sys.executable, "-m", module, admin, NODE])
            _checked(argv, lab.environment, 240)
        yield lab
    finally:
        lab.script("down.sh", lab.name)
        shutil.rmtree(folder)


def run_script(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> None:
    """Run a script of the lab; AssertionError with its words if it fails."""
    _checked([str(SCRIPTS / name), *arguments], environment, timeout_s)


def _checked(argv: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> None:
    done = subprocess.run(
        argv,
        cwd=CHECKOUT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(argv)[:300]}: {done.returncode}: {done.stdout[-3000:]}"


def _communicate(process: subprocess.Popen[str], timeout_s: float) -> str:
    try:
        return process.communicate(timeout=timeout_s)[0]
    except subprocess.TimeoutExpired:
        # An interrupted pytest still heals its faults.
        process.send_signal(signal.SIGINT)
        try:
            output = process.communicate(timeout=_INTERRUPT_GRACE_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
        raise AssertionError(f"the suite took longer than {timeout_s:g} s:\n{output}") from None
