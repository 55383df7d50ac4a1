"""Backends: which there are, which one is used, their devices, and what importing nnpoly costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import Backend, get, register, registry


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NNPOLY_", "JAX_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**clean, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def printed(code: str, **environment: str) -> Any:
    """Return what the code's last print says, read as JSON."""
    result = run(code, **environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.fixture
def fresh(monkeypatch):
    """Let a test register backends that are forgotten at its end."""
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    monkeypatch.setattr(registry, "_LOADED", dict(registry._LOADED))


def missing(error: Exception) -> Any:
    def factory() -> Backend:
        raise error

    return factory


# Which backends there are


def test_backends_are_true_where_they_can_be_used():
    states = nn.backends()
    assert list(states)[:4] == ["numpy", "cupy", "torch", "jax"]
    for name in ("numpy", "torch", "jax", "strict"):
        assert states[name]
        assert str(states[name]) == "available"
        assert states[name].reason == ""


WITHOUT_A_GPU = """
    import json, sys, types
    import nnpoly as nn
    sys.modules["cupy"] = types.ModuleType("cupy")
    sys.modules["cupy"].cuda = types.SimpleNamespace(is_available=lambda: False)
"""


def test_backends_say_why_not():
    code = """
    state = nn.backends()["cupy"]
    print(json.dumps([bool(state), str(state), state.reason]))
    """
    usable, said, reason = printed(WITHOUT_A_GPU + code)
    assert not usable
    assert said == f"not available: {reason}"
    assert reason == "CuPy finds no CUDA device; check the driver with nvidia-smi"


@pytest.mark.parametrize(
    "error",
    [ImportError("abacus is missing: buy one"), OSError("libabacus.so: buy one")],
    ids=["missing", "broken"],
)
def test_a_backend_that_cannot_be_imported(fresh, error):
    register("abacus", missing(error))
    state = nn.backends()["abacus"]
    assert not state
    assert state.reason == str(error)
    for call, where in [
        (lambda: nn.use_backend("abacus"), "use_backend"),
        (lambda: nn.MLP([2, 2], backend="abacus"), "MLP"),
        (lambda: nn.MLP([2, 2]).to("abacus"), r"Network\.to"),
    ]:
        with pytest.raises(ImportError, match=f"^{where}: .*'abacus' is not available: .*buy one"):
            call()
    assert nn.MLP([2, 2]).backend == "numpy"


def test_cupy_says_what_to_do():
    code = """
    try:
        nn.MLP([2, 2], backend="cupy")
    except ImportError as error:
        print(json.dumps(str(error)))
    """
    assert "nvidia-smi" in printed(WITHOUT_A_GPU + code)


@pytest.mark.parametrize("name", ["torch", "jax", "cupy"])
def test_missing_libraries_name_the_extra(name):
    code = f"""
        import json, sys
        sys.modules[{name!r}] = None
        import nnpoly as nn
        try:
            nn.use_backend({name!r})
        except ImportError as error:
            print(json.dumps(str(error)))
    """
    assert printed(code).endswith(f"is not installed: pip install nnpoly[{name}]")


@pytest.mark.parametrize("name", ["abacus", "", "NumPy", None, 3, ["numpy"]])
def test_unknown_names(name):
    with pytest.raises(ValueError, match=r"^use_backend: `backend` must be one of cupy, jax"):
        nn.use_backend(name)


def test_registered_backends_are_backends(fresh):
    register("twin", lambda: get("strict"))
    assert nn.backends()["twin"]
    assert nn.MLP([2, 2], backend="twin").backend == "strict"


# Which one is used


def default() -> str:
    return nn.MLP([2, 2]).backend


def test_use_backend_in_nested_blocks():
    assert default() == "numpy"
    with nn.use_backend("torch") as outer:
        assert outer is get("torch")
        assert default() == "torch"
        with nn.use_backend("jax"):
            assert default() == "jax"
        assert default() == "torch"
        assert nn.MLP([2, 2], backend="numpy").backend == "numpy"
    assert default() == "numpy"


def test_a_block_that_raises_restores_the_default():
    with pytest.raises(RuntimeError, match="inside"), nn.use_backend("torch"):
        raise RuntimeError("inside")
    assert default() == "numpy"


def test_a_refused_choice_changes_nothing():
    with nn.use_backend("torch"):
        with pytest.raises(ValueError, match="abacus"):
            nn.use_backend("abacus")
        with pytest.raises(ValueError, match="abacus"):
            nn.use_backend("numpy", device="abacus")
        assert default() == "torch"


def test_a_call_without_a_block_stays(monkeypatch):
    monkeypatch.setattr(registry, "_selected", (None, None))
    nn.use_backend("torch")
    assert default() == "torch"
    nn.use_backend(get("jax"))
    assert default() == "jax"


def test_use_backend_takes_a_device():
    with nn.use_backend("strict", device="device1"):
        assert str(nn.MLP([2, 2]).device) == str(get("strict").device("device1"))
        assert nn.MLP([2, 2], device="device2").device == get("strict").device("device2")
        assert nn.MLP([2, 2], backend="strict").device == get("strict").device(None)


ASK = "import json, nnpoly as nn; print(json.dumps(nn.MLP([2, 2]).backend))"


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_the_environment_variable(name):
    assert printed(ASK, NNPOLY_BACKEND=name) == name


def test_an_empty_environment_variable_means_numpy():
    assert printed(ASK, NNPOLY_BACKEND="") == "numpy"


def test_use_backend_wins_over_the_environment_variable(monkeypatch):
    monkeypatch.setenv("NNPOLY_BACKEND", "torch")
    assert default() == "torch"
    with nn.use_backend("jax"):
        assert default() == "jax"


def test_a_wrong_environment_variable(monkeypatch):
    monkeypatch.setenv("NNPOLY_BACKEND", "abacus")
    with pytest.raises(ValueError, match=r"^NNPOLY_BACKEND: must be one of cupy, .*got 'abacus'"):
        nn.MLP([2, 2])
    assert nn.MLP([2, 2], backend="numpy").backend == "numpy"


# Devices


@pytest.mark.parametrize(
    ("backend", "device"),
    [("numpy", "cpu"), ("torch", "cpu"), ("jax", "cpu"), ("jax", "cpu:0"), ("strict", "device1")],
)
def test_devices(backend, device):
    net = nn.MLP([2, 2], backend=backend, device=device)
    assert net.device == net.w.device == net([[1.0, 2.0]]).device
    assert net.to(dtype="float64").device == net.device
    assert nn.MLP([2, 2], backend=backend, device=net.device).device == net.device


@pytest.mark.parametrize(
    ("backend", "device"),
    [
        ("numpy", "cuda"),
        ("numpy", 0),
        ("torch", "abacus"),
        ("torch", "cuda:99"),
        ("torch", "meta"),
        ("torch", 3.5),
        ("jax", "abacus"),
        ("jax", "cpu:99"),
        ("jax", "cpu:-1"),
        ("jax", "cpu:first"),
        ("jax", 5),
    ],
)
def test_devices_that_are_not_there(backend, device):
    for call in (
        lambda: nn.MLP([2, 2], backend=backend, device=device),
        lambda: nn.MLP([2, 2]).to(backend, device=device),
        lambda: nn.use_backend(backend, device),
    ):
        with pytest.raises(ValueError, match=f"^{backend}: `device`") as caught:
            call()
        assert repr(device) in str(caught.value)
    assert default() == "numpy"


def test_torchs_default_device_is_respected():
    torch = pytest.importorskip("torch")
    assert nn.MLP([2, 2], backend="torch").device == torch.get_default_device()


# JAX's 64-bit mode


def test_jax_without_64_bit_mode_refuses_float64():
    code = """
        import json, numpy as np, nnpoly as nn
        messages = []
        net = nn.MLP([2, 2])
        for call in (
            lambda: nn.MLP([2, 2], dtype="float64", backend="jax"),
            lambda: net.to("jax", dtype="float64"),
            lambda: nn.MLP.from_weights([np.ones((2, 2))], [np.ones(2)], backend="jax"),
        ):
            try:
                call()
            except ValueError as error:
                messages.append(str(error))
        print(json.dumps(messages))
    """
    messages = printed(code, JAX_ENABLE_X64="0")
    assert len(messages) == 3
    for message, where in zip(messages, ["MLP", "Network.to", "MLP"], strict=True):
        assert message.startswith(f"{where}: `dtype` float64 needs JAX's 64-bit mode")
        assert "JAX_ENABLE_X64=1" in message


def test_jax_float32_is_the_same_in_both_modes():
    code = """
        import json, numpy as np, nnpoly as nn
        X, y = np.random.default_rng(0).normal(size=(8, 2)), [0, 1] * 4
        layers = [nn.Dense(2, 3, "gelu"), nn.Dropout(0.5), nn.Dense(3, 2)]
        t = nn.Trainer(nn.Network(layers, "softmax", backend="jax"))
        t.fit(X, y, epochs=2, batch_size=8)
        w = np.asarray(t.network.w)
        print(json.dumps([str(w.dtype), w.tolist(), t.history.loss, nn.one_hot(y).tolist()]))
    """
    narrow, wide = (printed(code, JAX_ENABLE_X64=mode) for mode in "01")
    assert narrow[0] == "float32"
    assert narrow == wide


# show_config


def test_show_config(capsys):
    nn.show_config()
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["nnpoly"] == nn.__version__
    assert lines["Python"].startswith(".".join(map(str, sys.version_info[:2])))
    assert lines["numpy"] == np.__version__
    for name, state in nn.backends().items():
        assert lines[name] == (get(name).version() if state else str(state))


# What importing costs

OPTIONAL = ["torch", "jax", "cupy", "sklearn", "matplotlib", "tqdm", "safetensors", "pandas"]


def test_import_is_light():
    code = f"""
        import json, sys, threading
        import nnpoly
        loaded = [name for name in {OPTIONAL} if name in sys.modules]
        print(json.dumps([loaded, threading.active_count(), len(sys.modules)]))
    """
    loaded, threads, modules = printed(code)
    assert loaded == []
    assert threads == 1
    assert modules < 300  # NumPy brings most of them


def test_import_says_nothing():
    result = run("import nnpoly")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_training_on_numpy_needs_numpy_alone():
    code = f"""
        import json, sys
        import nnpoly as nn
        net = nn.MLP([2, 3, 2])
        nn.Trainer(net).fit([[1.0, 2.0], [3.0, 4.0]], [0, 1], epochs=1)
        net.summary(), net.copy(), repr(net)
        print(json.dumps([name for name in {OPTIONAL} if name in sys.modules]))
    """
    assert printed(code) == []


def test_arrays_of_libraries_not_yet_seen_are_recognised():
    code = """
        import json
        import torch
        import nnpoly as nn
        try:
            nn.MLP([2, 2])(torch.ones(1, 2))
        except ValueError as error:
            print(json.dumps(str(error)))
    """
    assert printed(code).startswith("MLP: `X` is an array of torch, but the network lives on numpy")


def test_a_jax_step_takes_the_parameters_memory_and_no_copy_of_them():
    pytest.importorskip("jax")
    net = nn.MLP([2, 3, 2], backend="jax")
    trainer, given, copied, other = nn.Trainer(net), net.w, np.array(net.w), net.copy()
    assert trainer.summary().splitlines()[-1].startswith("steps      one jitted call a step")
    trainer.step([[1.0, 2.0]], [0])
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(given)
    assert np.array_equal(np.asarray(other.w), copied)
    assert not np.array_equal(np.asarray(net.w), copied)
