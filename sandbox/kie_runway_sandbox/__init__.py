"""
A stand-in for KIE on loopback: same wire, no key, no money, real clips.

Imitated are the Runway family, Aleph, credits, uploads, callbacks and the rate limit.
Not imitated: models that understand a prompt, fetching media from elsewhere (a drawn
placeholder takes their place), limits on file sizes, per-key caps, compression.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kie_runway_sandbox.faults import Fault as Fault
    from kie_runway_sandbox.options import SandboxOptions as SandboxOptions
    from kie_runway_sandbox.options import Switches as Switches
    from kie_runway_sandbox.sandbox import Sandbox as Sandbox
    from kie_runway_sandbox.serving import run as run
    from kie_runway_sandbox.serving import serve as serve

# Loaded when first asked for: importing the package stays free of uvicorn and starlette.
_MODULES = {
    "Fault": "faults",
    "Sandbox": "sandbox",
    "SandboxOptions": "options",
    "Switches": "options",
    "run": "serving",
    "serve": "serving",
}

__all__ = ["Fault", "Sandbox", "SandboxOptions", "Switches", "run", "serve"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
