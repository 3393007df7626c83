"""The networks of `training_speed` in PyTorch (eager), interleaved with ours: ratios of medians with their range.

    python benches/pytorch.py --ours target/release/examples/training_speed --out results/bench/pytorch.csv
        [--rounds 5] [--threads 1] [--models mlp,cnn]

Each round times a few steps of ours, of PyTorch in NCHW and of PyTorch in channels_last, one after the other; PyTorch's
better layout counts. Both sides must have the same number of parameters. Peak memory is that of a process of its own.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def conv(i, o, size=3, stride=1, padding=None, bias=False):
    return nn.Conv2d(i, o, size, stride, size // 2 if padding is None else padding, bias=bias)


class Block(nn.Module):
    """Pre-activation residual block; the first of a halving group has a projection."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm2d(i), conv(i, o, stride=stride)
        self.n2, self.c2 = nn.BatchNorm2d(o), conv(o, o)
        self.skip = conv(i, o, 1, 2) if stride == 2 else None

    def forward(self, x):
        opened = F.relu(self.n1(x), inplace=True)
        y = self.c2(F.relu(self.n2(self.c1(opened)), inplace=True))
        # The first block of all passes its input on unopened.
        return y + (self.skip(opened) if self.skip is not None else x)


class Pool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def resnet(widths):
    layers, i = [conv(3, 16)], 16
    for group, o in enumerate(widths):
        for block in range(2):
            layers.append(Block(i, o, 2 if group > 0 and block == 0 else 1))
            i = o
    return nn.Sequential(*layers, nn.BatchNorm2d(i), nn.ReLU(inplace=True), Pool(), nn.Linear(i, 10))


class Grow(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(i), conv(i, 12)

    def forward(self, x):
        return torch.cat([x, self.conv(F.relu(self.norm(x), inplace=True))], 1)


def densenet():
    layers, c = [conv(3, 16)], 16
    for block in range(3):
        for _ in range(7):
            layers.append(Grow(c))
            c += 12
        if block < 2:
            layers += [nn.BatchNorm2d(c), nn.ReLU(inplace=True), conv(c, c, 1), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.BatchNorm2d(c), nn.ReLU(inplace=True), Pool(), nn.Linear(c, 10))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[1][0][0])


def build(name):
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    if name == "cnn":
        layers, i = [], 3
        for o, stride in [(32, 1), (64, 2), (128, 2)]:
            layers += [conv(i, o, stride=stride), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
            i = o
        return nn.Sequential(*layers, Pool(), nn.Linear(128, 10))
    if name == "resnet":
        return resnet([16, 32, 64, 128])
    if name == "wrn":
        return resnet([16, 32, 64])
    if name == "allcnn":
        layers, i = [], 3
        for o, size, stride, padding in [
            (96, 3, 1, 1), (96, 3, 1, 1), (96, 3, 2, 1), (192, 3, 1, 1), (192, 3, 1, 1), (192, 3, 2, 1),
            (192, 3, 1, 0), (192, 1, 1, 0), (10, 1, 1, 0),
        ]:
            layers += [conv(i, o, size, stride, padding, bias=True), nn.ReLU(inplace=True)]
            i = o
        return nn.Sequential(*layers, Pool())
    if name == "densenet":
        return densenet()
    if name == "lstm":
        return Lstm()
    raise SystemExit(f"no model {name}")


MODELS = ["mlp", "cnn", "resnet", "allcnn", "wrn", "densenet", "lstm"]


def parameters(name):
    count = sum(p.numel() for p in build(name).parameters())
    # PyTorch's LSTM has two bias vectors that only ever act as their sum.
    return count - 512 if name == "lstm" else count


class Training:
    """A network with its optimiser, and random samples."""

    def __init__(self, name, channels_last):
        torch.manual_seed(0)
        self.batch = 32 if name == "lstm" else 128
        shape = {"mlp": (784,), "lstm": (784, 1)}.get(name, (3, 32, 32))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = build(name).to(memory_format=layout)
        self.x = torch.rand(self.batch, *shape) * 3.4 - 1.7
        if len(shape) == 3:
            self.x = self.x.to(memory_format=layout)
        self.y = torch.arange(self.batch) % 10
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def steps(self, count):
        """Median seconds of a step."""
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            self.optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(self.model(self.x), self.y)
            loss.backward()
            self.optimiser.step()
            loss.item()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)


def layouts(name):
    return [False] if name in ("mlp", "lstm") else [False, True]


def peak_megabytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def processor():
    with open("/proc/cpuinfo") as info:
        return next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ours", required=True)
    arguments.add_argument("--out")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--models", default=",".join(MODELS))
    arguments.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    if given.memory:
        name, layout = given.memory
        Training(name, layout == "1").steps(4)
        print(peak_megabytes())
        return

    columns = ["model", "threads", "batch", "rounds", "ours_images_per_second", "pytorch_images_per_second",
               "ratio", "ratio_min", "ratio_max", "ours_peak_mb", "pytorch_peak_mb", "pytorch_layout", "pytorch_version",
               "processor"]
    rows = []
    for name in given.models.split(","):
        # About two seconds each: a machine that others disturb is disturbed for both.
        probe = [Training(name, layout) for layout in layouts(name)]
        warm = [t.steps(2) for t in probe]
        count = max(3, min(60, round(2 / min(warm))))
        ours, theirs, peak = [], [[] for _ in probe], 0
        for _ in range(given.rounds):
            line = subprocess.run([given.ours, name, "--threads", str(given.threads), "--steps", str(count)],
                                  check=True, capture_output=True, text=True).stdout.strip().split(",")
            ours.append(float(line[3]))
            peak = max(peak, float(line[8]))
            if int(line[10]) != parameters(name):
                sys.exit(f"{name}: {line[10]} parameters in ours, {parameters(name)} in PyTorch's")
            for times, training in zip(theirs, probe):
                times.append(training.batch / training.steps(count))
        best = max(range(len(theirs)), key=lambda k: statistics.median(theirs[k]))
        ratios = [a / b for a, b in zip(ours, theirs[best])]
        memory = subprocess.run([sys.executable, __file__, "--ours", "-", "--threads", str(given.threads), "--memory",
                                 name, str(int(layouts(name)[best]))], check=True, capture_output=True, text=True)
        ratio = statistics.median(ours) / statistics.median(theirs[best])
        row = [name, given.threads, probe[0].batch, given.rounds, f"{statistics.median(ours):.1f}",
               f"{statistics.median(theirs[best]):.1f}", f"{ratio:.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}",
               f"{peak:.0f}", f"{float(memory.stdout):.0f}", "channels_last" if layouts(name)[best] else "NCHW",
               torch.__version__, processor()]
        rows.append(row)
        print(f"{name:9} {given.threads} thread(s): {ratio:.2f} times PyTorch ({min(ratios):.2f} to {max(ratios):.2f}), "
              f"{row[4]} against {row[5]} images/s, {row[9]} against {row[10]} MB", flush=True)
        del probe
    if given.out:
        known = []
        if os.path.exists(given.out):
            with open(given.out) as file:
                done = {(r[0], r[1]) for r in rows}
                done = {(a, str(b)) for a, b in done}
                known = [r for r in list(csv.reader(file))[1:] if (r[0], r[1]) not in done]
        with open(given.out + ".tmp", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *known, *rows])
        os.replace(given.out + ".tmp", given.out)


if __name__ == "__main__":
    main()
