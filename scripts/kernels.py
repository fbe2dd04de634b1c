"""Put several ipykernels, and several JupyterLabs, beside the virtual environment, each as a thin overlay.

An overlay ``.kernels/<version>/`` holds ipykernel and the little that this version needs and the environment lacks,
``.kernels/jupyterlab-<version>/`` a JupyterLab.  In front of everything else on ``PYTHONPATH`` it makes the same
interpreter run that kernel, or that JupyterLab::

    python scripts/kernels.py                # make what is missing
    python scripts/kernels.py --check        # and start each of them once
    PYTHONPATH=.kernels/6.29.5 .venv/bin/python -m ipykernel_launcher
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OVERLAYS = ROOT / ".kernels"

# Version -> what it imports that a current environment does not have.
VERSIONS: dict[str, tuple[str, ...]] = {
    "6.29.5": ("nest_asyncio==1.6.0",),
    "6.31.0": ("nest_asyncio==1.6.0",),
    "7.0.1": ("nest_asyncio==1.6.0",),
    "7.3.0": (),
    "7.4.0": (),
}
# The last release of each that is promised, the oldest first; the newest is in the environment.
LABS: tuple[str, ...] = ("4.2.7", "4.3.8", "4.4.10", "4.5.11")
_COMPLETE = "complete.txt"


class OverlayError(RuntimeError):
    """An overlay could not be made or does not run; the message is one line for a person."""


def lab_overlay(version: str) -> Path:
    """Return the folder of the overlay of this JupyterLab, whether it exists or not."""
    return overlay(_lab(version))


def overlay(version: str) -> Path:
    """Return the folder of this version's overlay, whether it exists or not."""
    return OVERLAYS / version


def requirements(version: str) -> list[str]:
    """Return what is installed into the overlay of this version."""
    if version in map(_lab, LABS):
        return [version.replace("-", "==")]
    return [f"ipykernel=={version}", *VERSIONS[version]]


def is_complete(version: str) -> bool:
    """Say whether the overlay is there and was made for today's requirements."""
    try:
        return (overlay(version) / _COMPLETE).read_text().split() == requirements(version)
    except OSError:
        return False


def make(version: str) -> bool:
    """Make the overlay unless it is there already; return whether anything was done."""
    if is_complete(version):
        return False
    OVERLAYS.mkdir(exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=OVERLAYS))
    try:
        _install(requirements(version), staging)
        (staging / _COMPLETE).write_text("\n".join(requirements(version)) + "\n")
        staging.chmod(0o755)
        _put(staging, overlay(version), version)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return True


def reported_version(version: str) -> str:
    """Start a kernel with this overlay and return the ipykernel version that it names."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name=version,
        language="python",
    )
    manager.start_kernel(
        env={**os.environ, "PYTHONPATH": str(overlay(version)), "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        expression = "__import__('ipykernel').__version__ + ' on IPython ' + __import__('IPython').__version__"
        reply = client.execute("", user_expressions={"v": expression}, reply=True, timeout=30)
        value = reply["content"]["user_expressions"]["v"]
        if value["status"] != "ok":
            raise OverlayError(f"{value['ename']}: {value['evalue']}")
        return str(value["data"]["text/plain"]).strip("'")
    except (RuntimeError, TimeoutError) as error:
        raise OverlayError(f"the kernel does not start ({error})") from error
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main(arguments: list[str] | None = None) -> int:
    """Make the overlays named on the command line, or all; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Make overlays of several ipykernel versions, and of several JupyterLabs."
    )
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help=f"of {', '.join(VERSIONS)}; all, and the JupyterLabs, if none"
    )
    parser.add_argument("--check", action="store_true", help="also start each kernel and ask for its version")
    options = parser.parse_args(arguments)
    unknown = [version for version in options.versions if version not in VERSIONS]
    if unknown:
        parser.error(f"unknown version {', '.join(unknown)}; choose from {', '.join(VERSIONS)}")
    failed = False
    wanted = {f"ipykernel {version}": version for version in options.versions or VERSIONS}
    if not options.versions:
        wanted |= {f"jupyterlab {version}": _lab(version) for version in LABS}
    for name, version in wanted.items():
        try:
            print(f"{name}: {_bring(version, check=options.check)}")
        except OverlayError as error:
            failed = True
            print(f"{name}: failed: {error}", file=sys.stderr)
    return int(failed)


def _lab(version: str) -> str:
    return f"jupyterlab-{version}"


def _bring(version: str, *, check: bool) -> str:
    done = "made" if make(version) else "already there"
    if not check or version in map(_lab, LABS):
        return done
    begun = time.monotonic()
    said = reported_version(version)
    if said.split()[0] != version:
        raise OverlayError(f"the kernel reports {said}")
    return f"{done}, runs {said}, started and answered in {time.monotonic() - begun:.1f} s"


def _install(names: list[str], target: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        command = [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    else:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--no-deps", "--target", str(target), *names], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise OverlayError(f"{' '.join(names)}: {lines[-1].strip()}")


def _put(staging: Path, target: Path, version: str) -> None:
    # A kernel may be importing from the old folder, so it is moved away before it is deleted.
    if target.exists() and not is_complete(version):
        stale = Path(tempfile.mkdtemp(prefix=f".{version}-stale-", dir=OVERLAYS))
        target.rename(stale / "old")
        shutil.rmtree(stale, ignore_errors=True)
    try:
        staging.rename(target)
    except OSError:
        if not is_complete(version):  # else another process finished first, with the same content
            raise


if __name__ == "__main__":
    sys.exit(main())
