"""
A surrogate as a C program
==========================

A network learns a pendulum's period, for which there is no formula in elementary functions.
It is written as a C header, and a program in C that needs nothing else prints what it predicts.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nnpoly as nn
from nnpoly.exchange import c_running, check, to_c

PROGRAM = r"""
#include <stdio.h>
#include "period.h"

int main(void) { /* a table of angles and periods */
  for (int degrees = 10; degrees <= 170; degrees += 10) {
    const float angle = (float)degrees / 180.0f;
    float period;
    predict_period(&angle, &period);
    printf("%d %.6f\n", degrees, period);
  }
  return 0;
}
"""


def period(angle):
    """Return the period over that of small swings: 1 / the mean of 1 and cos(angle / 2)."""
    a, b = np.ones_like(angle), np.cos(0.5 * angle)
    for _ in range(8):  # the arithmetic-geometric one
        a, b = 0.5 * (a + b), np.sqrt(a * b)
    return 1.0 / a


def main():
    angles = np.linspace(0.01, 0.97, 2000)[:, None]
    net = nn.MLP([1, 24, 24, 1], "tanh", output="identity", backend="numpy")
    trainer = nn.Trainer(net, nn.Adam(nn.schedules.Cosine(1e-2, 400 * 63)))
    trainer.fit(angles, period(np.pi * angles), epochs=400, batch_size=32)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        to_c(net, folder / "period.h", name="predict_period")
        size = (folder / "period.h").stat().st_size / 1024
        print(f"a header of {size:.0f} KiB, for a network of {net.w.size} parameters")
        compiler = c_running.compiler()
        if compiler is None:
            print("there is no C compiler here")
            return
        print(str(check(folder / "period.h")).replace(f"{folder}{os.sep}", ""))
        (folder / "table.c").write_text(PROGRAM)
        options = ["-std=c99", "-O2", "-o", "table"]  # and no -lm
        subprocess.run([*compiler, *options, "table.c"], cwd=folder, check=True)
        run = subprocess.run([folder / "table"], capture_output=True, text=True, check=True)

    degrees, periods = np.array([line.split() for line in run.stdout.splitlines()], float).T
    error = np.abs(periods - period(np.radians(degrees)))
    print(f"largest error of the program's {len(periods)} periods: {error.max():.1e}")
    assert error.max() < 0.02
    assert np.abs(periods[:, None] - net(degrees[:, None] / 180.0)).max() < 1e-5

    _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    ax.plot(180 * angles, period(np.pi * angles), label="exact")
    ax.plot(degrees, periods, "o", label="printed by the C program")
    ax.set(xlabel="amplitude in degrees", ylabel="period, over that of small swings")
    ax.legend()
    plt.show()


if __name__ == "__main__":
    main()
