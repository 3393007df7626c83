"""Reference values for the networks of Katharopoulos and Fleuret 2018 and for RMSprop, in plain Python.

Run once by hand: `python3 reference_2018.py`. The tests hold what it printed. Names, shapes and numbers as in reference.py.
"""
from math import exp, sqrt, tanh


def lcg(seed):
    while True:
        seed = (seed * 1664525 + 1013904223) % 2**32
        yield seed / 2**32 - 0.5


def fill(shapes):
    generator, p = lcg(1), {}
    for name in sorted(shapes):
        shape, fan_in = shapes[name], 1
        for size in shape[:-1]:
            fan_in *= size
        count = fan_in * shape[-1]
        u = [next(generator) for _ in range(count)]
        p[name] = [2 * x * sqrt(3 / fan_in) for x in u] if len(shape) > 1 else [0.2 * x for x in u]
    return p


def conv(w, x, side, k, i, o, stride):
    """x: [side * side][i], w: flat [k][k][i][o], zeros around."""
    out, half = side // stride, k // 2
    y = [[0.0] * o for _ in range(out * out)]
    for r in range(out):
        for c in range(out):
            for a in range(k):
                for b in range(k):
                    row, column = r * stride + a - half, c * stride + b - half
                    if 0 <= row < side and 0 <= column < side:
                        for n in range(i):
                            value = x[row * side + column][n]
                            base = ((a * k + b) * i + n) * o
                            for m in range(o):
                                y[r * out + c][m] += value * w[base + m]
    return y, out


def norm_relu(p, name, x):
    flat = [v for pixel in x for v in pixel]
    mean = sum(flat) / len(flat)
    variance = sum((v - mean) ** 2 for v in flat) / len(flat)
    gain, bias, scale = p[name + ".gain"][0], p[name + ".bias"], 1 / sqrt(variance + 1e-3)
    return [[max(0.0, (v - mean) * scale * gain + b) for v, b in zip(pixel, bias)] for pixel in x]


def output(p, x, classes):
    w, b = p["output.weight"], p["output.bias"]
    return [b[k] + sum(v * w[n * classes + k] for n, v in enumerate(x)) for k in range(classes)]


def wide_resnet(widen, base, side, channels, classes):
    """Depth 10: one block in each group."""
    shapes, width = {"stem.weight": (3, 3, channels, base)}, base
    for group in (1, 2, 3):
        n, to = f"group{group}.block1.", base * widen * 2 ** (group - 1)
        shapes |= {n + "norm1.gain": (1,), n + "norm1.bias": (width,), n + "norm2.gain": (1,), n + "norm2.bias": (to,)}
        shapes |= {n + "conv1.weight": (3, 3, width, to), n + "conv2.weight": (3, 3, to, to)}
        if width != to:
            shapes[n + "shortcut.weight"] = (1, 1, width, to)
        width = to
    shapes |= {"norm.gain": (1,), "norm.bias": (width,), "output.weight": (width, classes), "output.bias": (classes,)}
    p, generator = fill(shapes), lcg(2)
    image = [[2 * next(generator) for _ in range(channels)] for _ in range(side * side)]
    x, side = conv(p["stem.weight"], image, side, 3, channels, base, 1)
    width = base
    for group in (1, 2, 3):
        n, to, stride = f"group{group}.block1.", base * widen * 2 ** (group - 1), 1 if group == 1 else 2
        y, small = conv(p[n + "conv1.weight"], norm_relu(p, n + "norm1", x), side, 3, width, to, stride)
        y, _ = conv(p[n + "conv2.weight"], norm_relu(p, n + "norm2", y), small, 3, to, to, 1)
        if width != to:
            x, _ = conv(p[n + "shortcut.weight"], x, side, 1, width, to, stride)
        x = [[a + b for a, b in zip(u, v)] for u, v in zip(x, y)]
        side, width = small, to
    x = norm_relu(p, "norm", x)
    return output(p, [sum(pixel[c] for pixel in x) / len(x) for c in range(width)], classes)


def lstm(units, steps, classes):
    shapes = {"lstm.kernel": (1, 4 * units), "lstm.recurrent": (units, 4 * units), "lstm.bias": (4 * units,)}
    shapes |= {"output.weight": (units, classes), "output.bias": (classes,)}
    p, generator = fill(shapes), lcg(2)
    sequence = [2 * next(generator) for _ in range(steps)]
    h, c = [0.0] * units, [0.0] * units
    sigmoid = lambda z: 1 / (1 + exp(-z))
    for x in sequence:
        z = [
            p["lstm.bias"][j] + x * p["lstm.kernel"][j] + sum(h[u] * p["lstm.recurrent"][u * 4 * units + j] for u in range(units))
            for j in range(4 * units)
        ]
        gates = [z[g * units : (g + 1) * units] for g in range(4)]
        c = [sigmoid(f) * old + sigmoid(i) * tanh(g) for i, f, g, old in zip(gates[0], gates[1], gates[2], c)]
        h = [sigmoid(o) * tanh(new) for o, new in zip(gates[3], c)]
    return output(p, h, classes)


def rms_prop():
    """Weights after five steps on sum(a w^2) / 2 with weight decay 0.01; the rate falls from 0.1 to 0.02 after three."""
    a, w, mean = [1.0, 0.1, 3.0], [1.0, -2.0, 0.5], [0.0] * 3
    for step in range(5):
        rate = 0.1 if step < 3 else 0.02
        for k in range(3):
            g = a[k] * w[k] + 0.01 * w[k]
            mean[k] = 0.9 * mean[k] + 0.1 * g * g
            w[k] -= rate * g / (sqrt(mean[k]) + 1e-7)
    return w


if __name__ == "__main__":
    print("wide residual network", [round(v, 7) for v in wide_resnet(2, 4, 8, 3, 10)])
    print("LSTM", [round(v, 7) for v in lstm(5, 16, 10)])
    print("RMSprop", rms_prop())
