"""The ten models of exchange.py, trained on real data, and who computes their files."""

from __future__ import annotations

import ctypes
import re
import subprocess
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_linnerud,
    load_wine,
)

import nnpoly as nn
from nnpoly import activations, tables
from nnpoly.estimators import MLPClassifier, RealMLPClassifier, TabMRegressor
from nnpoly.exchange import c_running, keras_models, onnx_running, to_c, torch_files
from nnpoly.exchange.certificate import Certificate
from nnpoly.exchange.proof import Consumer

Numbers = np.ndarray
_LIBRARIES = count()
TYPES = {"float": np.float32, "double": np.float64}


def scaled(X: Numbers) -> Numbers:
    """Columns of mean 0 and variance 1, in float32."""
    deviation = X.std(axis=0)
    return ((X - X.mean(axis=0)) / np.where(deviation, deviation, 1.0)).astype("float32")


def trained(chain: list[nn.layers.Layer], output: str, X: Numbers, y: Numbers, **loss: Any) -> Any:
    """A network of these layers after 20 epochs."""
    net = nn.Network(chain, output, backend="numpy")
    nn.Trainer(net, nn.Adam(3e-3), **loss).fit(scaled(X), y, epochs=20, batch_size=32)
    return net


def digits_relu() -> Any:
    return trained(
        [nn.Dense(64, 64, "relu"), nn.Dense(64, 10)], "softmax", *load_digits(return_X_y=True)
    )


def digits_residual() -> Any:
    block = nn.Residual(
        [nn.LayerNorm(48), nn.Dense(48, 96, "gelu"), nn.Dropout(0.1), nn.Dense(96, 48)]
    )
    chain = [
        nn.Dense(64, 48, "gelu"),
        block,
        nn.LayerNorm(48, activation="mish"),
        nn.Dense(48, 10),
    ]
    return trained(chain, "softmax", *load_digits(return_X_y=True))


def digits_members() -> Any:
    chain = [
        nn.MemberScale(64, 8, "signs"),
        nn.SharedDense(64, 48, 8, "gelu_tanh", scaled="after"),
        nn.MemberDense(48, 10, 8),
    ]
    return trained(chain, "softmax", *load_digits(return_X_y=True))


def wine_norms() -> Any:
    chain = [
        nn.BatchNorm(13),
        nn.Dense(13, 32, "silu"),
        nn.BatchNorm(32, activation="elu"),
        nn.Dense(32, 3),
    ]
    return trained(chain, "softmax", *load_wine(return_X_y=True))


def cancer_classes() -> Any:
    X, y = load_breast_cancer(return_X_y=True)
    labels = np.array(["malignant", "benign"])[y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPClassifier((32, 32), activation="tanh", max_iter=20, random_state=0)
        return model.fit(scaled(X), labels)


def diabetes_waves() -> Any:
    X, y = load_diabetes(return_X_y=True)
    chain = [
        nn.Periodic(10, 6),
        nn.Scale(28),
        nn.Dense(28, 32),
        nn.Blend(32, "selu"),
        nn.Dense(32, 32, activations.LeakyReLU(0.1)),
        nn.Dense(32, 1),
    ]
    return trained(chain, "identity", X, scaled(y[:, None]))


def diabetes_counts() -> Any:
    X, y = load_diabetes(return_X_y=True)
    chain = [nn.Dense(10, 32, "softplus"), nn.Dense(32, 32, "sigmoid"), nn.Dense(32, 1)]
    return trained(chain, "exp", X, y[:, None] / 100.0, loss="poisson")


def linnerud_outputs() -> Any:
    X, Y = load_linnerud(return_X_y=True)
    return trained([nn.Dense(3, 32, "tanh"), nn.Dense(32, 3)], "identity", X, scaled(Y))


def shop(rows: int = 600) -> pl.DataFrame:
    """Numbers and texts with missing cells, of which a class and a number follow."""
    rng = np.random.default_rng(0)
    size, age = rng.exponential(size=rows), rng.normal(40.0, 12.0, rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    city = rng.choice([f"city {i}" for i in range(15)], rows)
    price = 100.0 + 30.0 * size + age * (colour == "red") + rng.normal(size=rows)
    gone = rng.random(rows) < 0.1
    return pl.DataFrame(
        {
            "size": np.where(gone, np.nan, size),
            "age": age,
            "colour": [None if i % 11 == 0 else text for i, text in enumerate(colour.tolist())],
            "city": city.tolist(),
            "price": price,
            "kind": np.where(price > 160.0, "dear", "cheap").tolist(),
        }
    ).with_columns(pl.col("size").fill_nan(None))


def table_realmlp() -> Any:
    frame = shop()
    model = RealMLPClassifier(n_epochs=20, hidden_layer_sizes=(64, 64), n_ens=2, random_state=0)
    return model.fit(frame.drop("price", "kind"), frame["kind"].to_numpy())


def table_tabm() -> Any:
    frame, small = (
        shop(),
        {"hidden_layer_sizes": (64, 64), "n_members": 8, "num_embeddings": "piecewise"},
    )
    model = TabMRegressor(n_epochs=20, random_state=0, **small)
    return model.fit(frame.drop("price", "kind"), frame["price"].to_numpy())


def table_mlp() -> Any:
    return tables.fit(shop().drop("kind"), "price", model="mlp", epochs=20).model


MODELS: dict[str, Callable[[], Any]] = {
    "digits, relu, 10 classes": digits_relu,
    "digits, residual, norms, gelu, mish": digits_residual,
    "digits, 8 members, gelu (tanh form)": digits_members,
    "wine, batch norm, silu, elu": wine_norms,
    "cancer, tanh, 2 text classes": cancer_classes,
    "diabetes, waves, blend, selu, leaky": diabetes_waves,
    "diabetes, softplus, sigmoid, exp": diabetes_counts,
    "linnerud, 3 outputs": linnerud_outputs,
    "table, RealMLP, 2 networks, texts": table_realmlp,
    "table, TabM, pieces, quantiles": table_tabm,
    "table, mlp, missing cells, texts": table_mlp,
}


# Consumers


class Header:
    """A header in C as a shared library, compiled for this processor."""

    def __init__(self, model: Any, folder: Path) -> None:
        path = folder / "model.h"
        to_c(model, path, check=False)
        pattern = r"void predict\(const (float|double) \*x, (float|double) \*out\)"
        found = re.search(pattern, path.read_text())
        assert found is not None
        self.given, self.gives = found.groups()
        text = f"""#include "model.h"
void repeat(const {self.given} *x, {self.gives} *out, int times);
void repeat(const {self.given} *x, {self.gives} *out, int times) {{
  for (int i = 0; i < times; i++) {{
    predict(x, out);
    __asm__ volatile("" : : "r"(x), "r"(out) : "memory");
  }}
}}
"""
        (folder / "model.c").write_text(text)
        options = ["-O3", "-march=native", "-ffp-contract=off", "-std=gnu99", "-shared", "-fPIC"]
        library = folder / f"model-{next(_LIBRARIES)}.so"  # a name that is not loaded
        subprocess.run(
            [*(c_running.compiler() or []), *options, "model.c", "-o", library],
            cwd=folder,
            check=True,
        )
        self.library = ctypes.CDLL(str(library))

    def rows(self, certificate: Certificate) -> Numbers:
        """The rows as it takes them."""
        columns = []
        for j, (column, values) in enumerate(
            zip(certificate.columns, certificate.inputs, strict=True)
        ):
            if column.kind == "text":
                code = self.library.predict_code
                code.argtypes, code.restype = [ctypes.c_int, ctypes.c_char_p], ctypes.c_double
                codes = {text: code(j, text.encode() if text else None) for text in set(values)}
                values = [codes[text] for text in values]
            columns.append(np.asarray(values, TYPES[self.given]))
        return np.stack(columns, axis=1).copy()

    def batch(self, x: Numbers, K: int) -> Numbers:
        """The outputs of all rows."""
        out = np.empty((len(x), K), TYPES[self.gives])
        self.call("predict_batch", x, out, ctypes.c_size_t(len(x)))
        return out

    def call(self, name: str, x: Numbers, out: Numbers, count: Any) -> None:
        """Call a function of rows, outputs and a count."""
        getattr(self.library, name)(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data), count
        )


def by_header(model: Any, certificate: Certificate, folder: Path) -> Numbers:
    """What the compiled header gives for a certificate's rows."""
    header = Header(model, folder)
    return header.batch(header.rows(certificate), certificate.outputs.shape[1])


def by_file(consumer: Consumer, write: Callable[..., Any], name: str) -> Callable[..., Numbers]:
    """What a consumer gives for a certificate's rows, of a file."""

    def computed(model: Any, certificate: Certificate, folder: Path) -> Numbers:
        path = folder / name
        write(model, path, check=False)
        values, (n, K) = (
            np.asarray(consumer.run(path, certificate).values),
            certificate.outputs.shape,
        )
        if values.size == n and K == 2:  # a network's one sigmoid is that of the second class
            return np.stack([1.0 - values.ravel(), values.ravel()], axis=1)
        return values.reshape(n, K)

    return computed


def consumers() -> dict[str, Callable[..., Numbers]]:
    """Each consumer by name."""
    exchange = nn.exchange
    return {
        "onnxruntime": by_file(onnx_running.CONSUMER, exchange.to_onnx, "model.onnx"),
        "C": by_header,
        "torch": by_file(torch_files.CONSUMER, exchange.to_torch, "model.safetensors"),
        "Keras": by_file(keras_models.CONSUMER, exchange.to_keras, "model.keras"),
    }


def with_rows(
    certificate: Certificate, given: Sequence[Any], outputs: Numbers, bounds: Numbers
) -> Certificate:
    """A certificate of other rows."""
    inputs = tuple(tuple(c if isinstance(c, list) else c.tolist()) for c in given)
    return replace(certificate, inputs=inputs, outputs=outputs, bounds=bounds)
