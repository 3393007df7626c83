"""Reference values for the tests of retrial-core's models and optimisers, from PyTorch in double precision.

Run once by hand with any PyTorch: `python3 reference.py`. The tests hold what it printed with PyTorch 1.13, for the small
networks 2.15; the two agree in what both were asked.
Names, shapes and order of parameters are those of the Rust code; numbers come from a linear congruential generator that
both languages have (see reference.rs).
"""
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def lcg(seed):
    while True:
        seed = (seed * 1664525 + 1013904223) % 2**32
        yield seed / 2**32 - 0.5


def numbers(generator, *shape):
    count = torch.Size(shape).numel()
    return torch.tensor([next(generator) for _ in range(count)]).reshape(shape)


def fill(shapes):
    generator, p = lcg(1), {}
    for name in sorted(shapes):
        shape = shapes[name]
        u = numbers(generator, *shape)
        if len(shape) > 1:
            p[name] = 2 * u * (3 / torch.Size(shape[:-1]).numel()) ** 0.5
        elif name.endswith(("gamma", "variance")):
            p[name] = 1 + 0.2 * u
        else:
            p[name] = 0.2 * u
    return p


class Shapes(dict):
    """Of parameters: linear weights [in, out], convolution weights [k, k, in, out]."""

    def conv(self, name, k, i, o, bias=True):
        self[name + ".weight"] = (k, k, i, o)
        if bias:
            self[name + ".bias"] = (o,)

    def norm(self, name, c):
        for part in ("gamma", "beta", "running_mean", "running_variance"):
            self[f"{name}.{part}"] = (c,)

    def linear(self, name, i, o):
        self[name + ".weight"] = (i, o)
        self[name + ".bias"] = (o,)


def conv(p, name, x, stride=1, padding=None):
    w = p[name + ".weight"].permute(3, 2, 0, 1)
    padding = w.shape[-1] // 2 if padding is None else padding
    return F.conv2d(x, w, p.get(name + ".bias"), stride, padding)


def norm(p, name, x, train, momentum, epsilon):
    part = lambda which: p[f"{name}.{which}"]
    running = part("running_mean"), part("running_variance")
    return F.batch_norm(x, *running, part("gamma"), part("beta"), train, momentum, epsilon)


def linear(p, name, x):
    return x @ p[name + ".weight"] + p[name + ".bias"]


def flatten(x):
    return x.permute(0, 2, 3, 1).flatten(1)


def resnet32_shapes():
    s = Shapes()
    s.conv("stem.conv", 3, 3, 16)
    s.norm("stem.norm", 16)
    i = 16
    for stage, o in enumerate((16, 32, 64), 1):
        for block in range(1, 6):
            n = f"stage{stage}.block{block}."
            s.conv(n + "first.conv", 3, i, o)
            s.norm(n + "first.norm", o)
            s.conv(n + "second.conv", 3, o, o)
            s.norm(n + "second.norm", o)
            if i != o:
                s.conv(n + "shortcut.conv", 1, i, o)
                s.norm(n + "shortcut.norm", o)
            i = o
    s.linear("output", 64, 10)
    return s


def resnet32(p, x, train):
    layer = lambda n, x, stride=1: norm(p, n + ".norm", conv(p, n + ".conv", x, stride), train, 0.01, 1e-3)
    x = layer("stem", x).relu()
    for stage in (1, 2, 3):
        for block in range(1, 6):
            n, stride = f"stage{stage}.block{block}.", 2 if stage > 1 and block == 1 else 1
            y = layer(n + "second", layer(n + "first", x, stride).relu())
            if stride == 2:
                x = layer(n + "shortcut", x, stride)
            x = (x + y).relu()
    return linear(p, "output", x.mean((2, 3)))


def resnet110v2_shapes():
    s = Shapes()
    s.conv("stem.conv", 3, 3, 16)
    s.norm("stem.norm", 16)
    i = 16
    for stage, (m, o) in enumerate(((16, 64), (64, 128), (128, 256)), 1):
        for block in range(1, 13):
            n = f"stage{stage}.block{block}."
            if (stage, block) != (1, 1):
                s.norm(n + "reduce.norm", i)
            s.conv(n + "reduce.conv", 1, i, m)
            s.norm(n + "middle.norm", m)
            s.conv(n + "middle.conv", 3, m, m)
            s.norm(n + "expand.norm", m)
            s.conv(n + "expand.conv", 1, m, o)
            if block == 1:
                s.conv(n + "shortcut.conv", 1, i, o)
            i = o
    s.norm("norm", 256)
    s.linear("output", 256, 10)
    return s


def resnet110v2(p, x, train):
    on = lambda n, x: norm(p, n, x, train, 0.01, 1e-3).relu()
    x = on("stem.norm", conv(p, "stem.conv", x))
    for stage in (1, 2, 3):
        for block in range(1, 13):
            n, stride = f"stage{stage}.block{block}.", 2 if stage > 1 and block == 1 else 1
            y = x if (stage, block) == (1, 1) else on(n + "reduce.norm", x)
            y = conv(p, n + "reduce.conv", y, stride)
            y = conv(p, n + "middle.conv", on(n + "middle.norm", y))
            y = conv(p, n + "expand.conv", on(n + "expand.norm", y))
            if block == 1:
                x = conv(p, n + "shortcut.conv", x, stride)
            x = x + y
    return linear(p, "output", on("norm", x).mean((2, 3)))


def lenet_shapes():
    s = Shapes()
    s.conv("conv1", 5, 1, 6)
    s.conv("conv2", 5, 6, 16)
    s.linear("linear1", 400, 120)
    s.linear("linear2", 120, 84)
    s.linear("output", 84, 10)
    return s


def lenet(p, x, train):
    x = F.max_pool2d(conv(p, "conv1", x).relu(), 2)
    x = flatten(F.max_pool2d(conv(p, "conv2", x, padding=0).relu(), 2))
    return linear(p, "output", linear(p, "linear2", linear(p, "linear1", x).relu()).relu())


def cnn_shapes():
    s, i = Shapes(), 3
    for k, o in enumerate((4, 6, 8), 1):
        s.conv(f"conv{k}", 3, i, o, False)
        s.norm(f"norm{k}", o)
        i = o
    s.linear("output", 8, 3)
    return s


def cnn(p, x, train):
    for k in (1, 2, 3):
        x = norm(p, f"norm{k}", conv(p, f"conv{k}", x, 1 if k == 1 else 2), train, 0.1, 1e-5).relu()
    return linear(p, "output", x.mean((2, 3)))


def family_layers(width, stages):
    layers = [(3, width, 1)]
    for stage in range(stages):
        layers += [(3, width << stage, 1), (3, width << stage + 1, 2)]
    return layers + [(3, width << stages, 1), (1, width << stages, 1)]


ALL_CNN = [(3, 4, 1), (3, 4, 1), (3, 8, 2), (3, 8, 1), (3, 8, 1), (3, 8, 2), (3, 8, 1), (1, 8, 1)]


def all_cnn(layers):
    def shapes():
        s, i = Shapes(), 3
        for n, (k, o, _) in enumerate(layers, 1):
            s.conv(f"conv{n}", k, i, o, False)
            s.norm(f"norm{n}", o)
            i = o
        s.conv("output", 1, i, 10)
        return s

    def net(p, x, train):
        for n, (_, _, stride) in enumerate(layers, 1):
            x = norm(p, f"norm{n}", conv(p, f"conv{n}", x, stride), train, 0.1, 1e-5).relu()
        return conv(p, "output", x).mean((2, 3))

    return shapes, net


def norm_mlp_shapes():
    s = Shapes()
    for n, (i, o) in enumerate(((12, 8), (8, 6)), 1):
        s[f"hidden{n}.weight"] = (i, o)
        s.norm(f"norm{n}", o)
    s.linear("output", 6, 10)
    return s


def norm_mlp(p, x, train):
    x = flatten(x)
    for n in (1, 2):
        x = norm(p, f"norm{n}", x @ p[f"hidden{n}.weight"], train, 0.1, 1e-5).relu()
    return linear(p, "output", x)


def preact_shapes():
    s, i = Shapes(), 4
    s.conv("stem", 3, 3, 4, False)
    s.norm("norm", 4)
    for stage in range(4):
        for block in (1, 2):
            n, o = f"stage{stage + 1}.block{block}.", 4 << stage
            s.norm(n + "norm1", i)
            s.conv(n + "conv1", 3, i, o, False)
            s.norm(n + "norm2", o)
            s.conv(n + "conv2", 3, o, o, False)
            if i != o:
                s.conv(n + "skip", 1, i, o, False)
            i = o
    s.linear("output", 32, 10)
    return s


def preact(p, x, train):
    on = lambda n, x: norm(p, n, x, train, 0.1, 1e-5).relu()
    x = on("norm", conv(p, "stem", x))
    for stage in range(4):
        for block in (1, 2):
            n, stride = f"stage{stage + 1}.block{block}.", 2 if stage and block == 1 else 1
            x = on(n + "norm1", x)
            y = conv(p, n + "conv2", on(n + "norm2", conv(p, n + "conv1", x, stride)))
            x = y + (conv(p, n + "skip", x, stride) if stride == 2 else x)
    return linear(p, "output", x.mean((2, 3)))


def densenet_shapes():
    s, i = Shapes(), 16
    s.conv("stem", 3, 3, 16, False)
    for block in (1, 2, 3):
        for layer in range(1, 8):
            s.norm(f"block{block}.layer{layer}.norm", i)
            s.conv(f"block{block}.layer{layer}.conv", 3, i, 12, False)
            i += 12
        if block < 3:
            s.norm(f"transition{block}.norm", i)
            s.conv(f"transition{block}.conv", 1, i, i, False)
    s.norm("norm", i)
    s.linear("output", i, 10)
    return s


def densenet(p, x, train):
    on = lambda n, x: conv(p, n + ".conv", norm(p, n + ".norm", x, train, 0.1, 1e-5).relu())
    x = conv(p, "stem", x)
    for block in (1, 2, 3):
        for layer in range(1, 8):
            x = torch.cat((on(f"block{block}.layer{layer}", x), x), 1)
        if block < 3:
            x = F.avg_pool2d(on(f"transition{block}", x).relu(), 2)
    return linear(p, "output", norm(p, "norm", x, train, 0.1, 1e-5).relu().mean((2, 3)))


def pooled_shapes():
    s, i = Shapes(), 3
    for k, o in enumerate((4, 6, 8), 1):
        s.conv(f"conv{k}", 3, i, o, False)
        s.norm(f"norm{k}", o)
        i = o
    s.linear("output", 8, 10)
    return s


def pooled(p, x, train):
    for k in (1, 2, 3):
        x = norm(p, f"norm{k}", conv(p, f"conv{k}", x), train, 0.1, 1e-5).relu()
        x = F.max_pool2d(x, 2) if k < 3 else x
    return linear(p, "output", x.mean((2, 3)))


def two_stage_shapes():
    s, i = Shapes(), 3
    for k, o in enumerate((4, 4, 6, 6, 6), 1):
        s.conv(f"conv{k}", 3, i, o, False)
        s.norm(f"norm{k}", o)
        i = o
    s.linear("dense1", 6 * 3 * 3, 12)
    s.linear("dense2", 12, 8)
    s.linear("output", 8, 10)
    return s


def two_stage(p, x, train):
    for k in range(1, 6):
        x = norm(p, f"norm{k}", conv(p, f"conv{k}", x, padding=0), train, 0.1, 1e-5).relu()
        x = F.max_pool2d(x, 2) if k in (2, 5) else x
    x = linear(p, "dense1", flatten(x)).relu()
    return linear(p, "output", linear(p, "dense2", x).relu())


def vgg_shapes():
    s = Shapes()
    for n, i, o in (("1.layer1", 2, 3), ("1.layer2", 3, 3), ("2.layer1", 3, 4)):
        s.conv(f"group{n}.conv", 3, i, o)
        s.norm(f"group{n}.norm", o)
    for n, i in ((1, 4), (2, 6)):
        s.linear(f"hidden{n}.linear", i, 6)
        s.norm(f"hidden{n}.norm", 6)
    s.linear("output", 6, 3)
    return s


def vgg(p, x, train):
    on = lambda n, y: norm(p, n + ".norm", y, train, 0.1, 1e-5).relu()
    for group in (("1.layer1", "1.layer2"), ("2.layer1",)):
        for n in group:
            x = on(f"group{n}", conv(p, f"group{n}.conv", x))
        x = F.max_pool2d(x, 2)
    x = flatten(x)
    for n in ("hidden1", "hidden2"):
        x = on(n, linear(p, n + ".linear", x))
    return linear(p, "output", x)


def mlp_shapes():
    s = Shapes()
    s.linear("hidden1", 12, 8)
    s.linear("hidden2", 8, 6)
    s.linear("output", 6, 3)
    return s


def mlp(p, x, train):
    return linear(p, "output", linear(p, "hidden2", linear(p, "hidden1", flatten(x)).relu()).relu())


def images(n, side, channels):
    return 2 * numbers(lcg(2), n, side, side, channels).permute(0, 3, 1, 2)


def show(name, values):
    print(name, [f"{v:.7f}" for v in values])


def logits():
    """First row after a training pass, and then in evaluation. Networks that always drop units are only evaluated."""
    for name, shapes, net, side, channels in (
        ("resnet32", resnet32_shapes, resnet32, 8, 3),
        ("resnet110v2", resnet110v2_shapes, resnet110v2, 8, 3),
        ("lenet", lenet_shapes, lenet, 28, 1),
        ("all-cnn", *all_cnn(ALL_CNN), 8, 3),
        ("all-cnn family", *all_cnn(family_layers(3, 2)), 8, 3),
        ("norm mlp", norm_mlp_shapes, norm_mlp, 2, 3),
        ("preact", preact_shapes, preact, 16, 3),
        ("densenet", densenet_shapes, densenet, 8, 3),
        ("pooled", pooled_shapes, pooled, 8, 3),
        ("two stages", two_stage_shapes, two_stage, 28, 3),
        ("vgg", vgg_shapes, vgg, 4, 2),
    ):
        p, x = fill(shapes()), images(4, side, channels)
        print(name, sum(v.numel() for k, v in p.items() if "running" not in k), "parameters")
        with torch.no_grad():
            if name in ("densenet", "vgg"):
                show("evaluation before training", net(p, x, False)[0].tolist())
                continue
            show("training", net(p, x, True)[0].tolist())
            show("evaluation", net(p, x, False)[0].tolist())


def three_epochs():
    """Mean training loss of each epoch, then the loss in evaluation."""
    for name, shapes, net, side, optimiser in (
        ("mlp", mlp_shapes, mlp, 2, lambda w: torch.optim.Adam(w, 0.01, weight_decay=1e-3)),
        ("cnn", cnn_shapes, cnn, 8, lambda w: torch.optim.SGD(w, 0.05, 0.9, weight_decay=1e-3, nesterov=True)),
    ):
        p, x, y = fill(shapes()), images(24, side, 3), torch.arange(24) % 3
        optimiser = optimiser([v.requires_grad_() for k, v in p.items() if "running" not in k])
        losses = []
        for _ in range(3):
            total = 0
            for i in range(0, 24, 8):
                loss = F.cross_entropy(net(p, x[i : i + 8], True), y[i : i + 8])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()
            losses.append(total / 3)
        with torch.no_grad():
            losses.append(F.cross_entropy(net(p, x, False), y).item())
        show(name, losses)


def optimisers():
    """Weights after five steps on sum(a w^2) / 2; the rate falls from 0.1 to 0.02 after three."""
    a = torch.tensor([1.0, 0.1, 3.0])
    for name, make in (
        ("sgd", lambda w: torch.optim.SGD(w, 0.1, weight_decay=0.01)),
        ("momentum", lambda w: torch.optim.SGD(w, 0.1, 0.9, weight_decay=0.01)),
        ("nesterov", lambda w: torch.optim.SGD(w, 0.1, 0.9, weight_decay=0.01, nesterov=True)),
        ("adam", lambda w: torch.optim.Adam(w, 0.1, weight_decay=0.01)),
        ("adamw", lambda w: torch.optim.AdamW(w, 0.1, weight_decay=0.01)),
    ):
        w = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
        optimiser = make([w])
        for step in range(5):
            optimiser.param_groups[0]["lr"] = 0.1 if step < 3 else 0.02
            optimiser.zero_grad()
            ((a * w * w).sum() / 2).backward()
            optimiser.step()
        show(name, w.tolist())


if __name__ == "__main__":
    logits()
    three_epochs()
    optimisers()
