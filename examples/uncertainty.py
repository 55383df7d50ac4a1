"""
A surrogate that knows where it was not trained
===============================================

The simulator is a damped pendulum: from an initial angle and a damping it computes how long the
pendulum takes until it stays within five degrees. Ten networks learn its answers, each on a sample
of its own. Their mean is the answer, and how far they are apart says how much to trust it: little
where the simulator was never run. It is a warning and not a bound: networks that are alike can be
wrong alike, as the left edge of the figure shows.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, VERMILION

LOW, HIGH = np.array([0.3, 0.15]), np.array([2.2, 0.5])  # rad, 1/s: where the simulator was run


def simulate(inputs, dt=0.01, end=40.0):
    """Return the settling times in s: angle'' = -g/l sin(angle) - 2 damping angle', l = 1 m."""
    angle, damping = inputs.T
    speed, last = np.zeros_like(angle), np.zeros_like(angle)
    for t in np.arange(dt, end, dt):
        speed = speed - dt * (9.81 * np.sin(angle) + 2 * damping * speed)
        angle = angle + dt * speed  # semi-implicit Euler: stable where the explicit one is not
        energy = 0.5 * speed**2 + 9.81 * (1 - np.cos(angle))
        last[energy > 9.81 * (1 - np.cos(np.radians(5)))] = t
    return last


def scaled(inputs):
    return 2 * (inputs - LOW) / (HIGH - LOW) - 1


def main():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(LOW, HIGH, size=(600, 2))
    seconds = simulate(inputs)
    centre, spread = seconds.mean(), seconds.std()
    members = [
        nn.Trainer(nn.MLP([2, 32, 32, 1], "tanh", "identity", seed=seed), nn.Adam(5e-3))
        for seed in range(10)
    ]
    ensemble = nn.Ensemble(members, bootstrap=True)
    ensemble.fit(scaled(inputs), (seconds - centre) / spread, epochs=200)

    def predict(inputs):
        mean, std = ensemble.predict(scaled(inputs))
        return centre + spread * mean[:, 0], spread * std[:, 0]

    inside = rng.uniform(LOW, HIGH, size=(500, 2))
    beyond = inside + np.array([0.0, 0.45])  # as much damping as it never saw
    for name, points in (("inside", inside), ("beyond", beyond)):
        mean, std = predict(points)
        rms = np.sqrt(np.mean((mean - simulate(points)) ** 2))
        print(f"{name}: error {rms:.2f} s, the networks differ by {std.mean():.2f} s")
    (mean, std), (_, doubt) = predict(inside), predict(beyond)
    assert np.sqrt(np.mean((mean - simulate(inside)) ** 2)) < 0.1 * spread
    assert np.median(doubt) > 3 * np.median(std)

    damping = np.linspace(0.1, 0.9, 81)
    line = np.column_stack([np.full(81, 1.2), damping])
    mean, std = predict(line)
    _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    ax.plot(damping, simulate(line), color=VERMILION, linestyle="--", label="simulator")
    ax.plot(damping, mean, color=BLUE, label="mean of ten networks")
    band = {"color": BLUE, "alpha": 0.25, "label": "mean ± 2 standard deviations"}
    ax.fill_between(damping, mean - 2 * std, mean + 2 * std, **band)
    ax.axvspan(LOW[1], HIGH[1], color="#dddddd", alpha=0.5, zorder=0, label="where it was trained")
    ax.set(xlabel="damping in 1/s", ylabel="settling time in s", title="from an angle of 1.2 rad")
    ax.legend()
    plt.show()


if __name__ == "__main__":
    main()
