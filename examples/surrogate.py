"""
A surrogate of a simulator
==========================

How far and how high does a ball fly through air?
The simulator takes thousands of small time steps a flight; the network learns its answers from 2000
flights and gives new ones at once.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn

LOW, HIGH = np.array([10.0, 0.4, 0.0]), np.array([50.0, 1.2, 0.02])  # m/s, rad, 1/m
GRAVITY = np.array([0.0, 9.81])  # m/s^2


def simulate(inputs, dt=2e-3):
    """Return range and apex in m for rows of speed, angle and drag: v' = -g - drag |v| v."""
    speed, angle, drag = inputs.T
    v = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x, apex = np.zeros_like(v), np.zeros_like(speed)
    step = np.full((len(v), 1), dt)  # 0 once the ball has landed
    while step.any():
        friction = drag * np.linalg.norm(v, axis=1)
        v -= step * (GRAVITY + friction[:, None] * v)
        x += step * v
        apex = np.maximum(apex, x[:, 1])
        step[x[:, 1] < 0] = 0.0
    landing = x[:, 0] - v[:, 0] * x[:, 1] / v[:, 1]  # back to the ground, along a straight line
    return np.stack([landing, apex], axis=1)


def main():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(LOW, HIGH, size=(2500, 3))
    outputs = simulate(inputs)
    mean, deviation = outputs[:2000].mean(axis=0), outputs[:2000].std(axis=0)
    X, Y = 2 * (inputs - LOW) / (HIGH - LOW) - 1, (outputs - mean) / deviation

    net = nn.MLP([3, 32, 32, 2], "tanh", output="identity", dtype="float64", backend="numpy")
    trainer = nn.Trainer(net, nn.Adam(3e-3))
    stop = nn.callbacks.EarlyStopping(patience=50)
    data, held_out = (X[:2000], Y[:2000]), (X[2000:2250], Y[2000:2250])
    history = trainer.fit(*data, 1000, batch_size=64, validation=held_out, callbacks=[stop])
    print(f"stopped after {len(history)} epochs, back to epoch {stop.best_epoch}")

    with tempfile.TemporaryDirectory() as folder:
        net.save(path := f"{folder}/surrogate.safetensors")
        surrogate = nn.load(path, backend="numpy")
    assert np.array_equal(surrogate(X), net(X))
    error = surrogate(X[2250:]) * deviation + mean - outputs[2250:]  # flights it never saw
    rms = np.sqrt(np.mean(error**2, axis=0))
    print(f"error {rms[0]:.2f} m of range, {rms[1]:.2f} m of apex (root mean square)")
    assert (rms < 0.02 * deviation).all()  # 2 % of how much flights differ

    _, axes = plt.subplots(1, 2, figsize=(6.4, 3.6), layout="constrained")
    for k, (ax, name) in enumerate(zip(axes, ("range", "apex"), strict=True)):
        truth = outputs[2250:, k]
        nn.plotting.predicted_vs_true(truth, truth + error[:, k], ax=ax)
        ax.set(xlabel=f"simulated {name} in m", ylabel=f"predicted {name} in m")
    plt.show()


if __name__ == "__main__":
    main()
