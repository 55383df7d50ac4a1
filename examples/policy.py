"""
A policy that balances a pole
=============================

A cart with a pole on it, simulated in NumPy, and a policy 4-16-1 that sees positions and speeds
and answers with a force. There are no labels, so nothing is differentiated: the cross-entropy
method draws candidates for the parameters ``net.w``, keeps the best, and draws around those. Only
staying up counts, so the cart may drift. In a control loop the time of one decision matters, and
is reported too.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.plotting import BLUE, VERMILION

MASS, POLE, HALF, GRAVITY, DT = 1.0, 0.1, 0.5, 9.81, 0.02  # kg, kg, m, m/s^2, s


def advance(state, force):
    """Return the states (x, x', angle, angle') a time step later. state: (n, 4); force: (n,)."""
    x, v, angle, spin = state.T
    sin, cos, total = np.sin(angle), np.cos(angle), MASS + POLE
    push = (force + POLE * HALF * spin**2 * sin) / total
    turn = (GRAVITY * sin - cos * push) / (HALF * (4 / 3 - POLE * cos**2 / total))
    v, spin = v + DT * (push - POLE * HALF * turn * cos / total), spin + DT * turn
    return np.stack([x + DT * v, v, angle + DT * spin, spin], axis=1)


def control(net, state):
    """Return the states a time step later, by the policy's force of -10 to 10 N."""
    return advance(state, 20 * net(state.astype("f4"))[:, 0] - 10)


def balance(net, starts, steps):
    """Return for how many steps each pole stays up, within 12 degrees and 2.4 m."""
    state, up = starts, np.ones(len(starts), dtype=bool)
    lasted = np.zeros(len(starts))
    for _ in range(steps):
        state = control(net, state)
        up &= (np.abs(state[:, 2]) < np.radians(12)) & (np.abs(state[:, 0]) < 2.4)
        lasted += up
        if not up.any():
            break
    return lasted


def improve(net, rng, rounds=30, candidates=40, kept=8, steps=500):
    """Train the policy by the cross-entropy method: a Gaussian over net.w, fitted to the best."""
    mean, std = np.zeros(net.w.size), np.ones(net.w.size)
    for i in range(rounds):
        drawn = mean + std * rng.normal(size=(candidates, net.w.size))
        starts, scores = rng.uniform(-0.1, 0.1, size=(8, 4)), []
        for w in drawn:
            net.w = w
            scores.append(balance(net, starts, steps).mean())
        best = drawn[np.argsort(scores)[-kept:]]
        mean, std = best.mean(axis=0), best.std(axis=0) + 0.1 * 0.9**i
        net.w = mean
        print(f"round {i + 1:2d}: best {max(scores):5.1f}, mean {np.mean(scores):5.1f} steps")
        if np.mean(scores) > 0.95 * steps:
            break


def main():
    net = nn.MLP([4, 16, 1], "tanh", output="sigmoid", backend="numpy")
    rng = np.random.default_rng(0)
    improve(net, rng)
    lasted = balance(net, rng.uniform(-0.1, 0.1, size=(50, 4)), steps=1000)
    print(f"up after 20 s from {np.mean(lasted == 1000):.0%} of 50 new starts")
    assert (lasted == 1000).mean() >= 0.9

    state = np.zeros((1, 4), dtype="f4")
    times = []
    for _ in range(2000):
        began = perf_counter()
        net(state)
        times.append(perf_counter() - began)
    print(f"a decision takes {1e6 * np.median(times):.1f} us of a time step's {1e6 * DT:.0f} us")
    assert np.median(times) < 0.1 * DT

    path = [np.array([[0.0, 0.0, 0.1, 0.0]])]
    for _ in range(500):
        path.append(control(net, path[-1]))
    x, _, angle, _ = np.concatenate(path).T
    seconds = DT * np.arange(501)
    _, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    ax.plot(seconds, np.degrees(angle), color=BLUE, label="angle of the pole in degrees")
    ax.plot(seconds, 10 * x, "--", color=VERMILION, label="position of the cart in dm")
    ax.set(xlabel="time in s", ylabel="deviation", title="from an angle of 0.1 rad")
    ax.legend()
    plt.show()


if __name__ == "__main__":
    main()
