"""Every layout of other projects: generated weights of its keys give what that project's own network gives."""

import math

import pytest
import torch
from torch.nn import functional as F

from fastsr.errors import InputError
from fastsr.srgan import formats
from fastsr.srgan.srresnet_layouts import ERIKLINDERNOREN_EPS

WIDTH, BLOCKS, GROWTH = 8, 2, 4


class State(dict):
    """A state dict that is made key by key, and the functions of its modules."""

    def __init__(self):
        super().__init__()
        self.random = torch.Generator().manual_seed(0)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.random)

    def conv(self, name, inputs, outputs, kernel=3, bias=True):
        self[f"{name}.weight"] = self.normal(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5
        if bias:
            self[f"{name}.bias"] = 0.1 * self.normal(outputs)

    def norm(self, name, channels, counted=True):
        self[f"{name}.weight"] = 1 + 0.1 * self.normal(channels)
        self[f"{name}.bias"] = 0.1 * self.normal(channels)
        self[f"{name}.running_mean"] = 0.1 * self.normal(channels)
        self[f"{name}.running_var"] = 0.5 + self.normal(channels).abs()
        if counted:
            self[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def prelu(self, name):
        self[f"{name}.weight"] = 0.2 * self.normal(1)

    def do_conv(self, name, x):
        weight = self[f"{name}.weight"]
        return F.conv2d(x, weight, self.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def do_norm(self, name, x, eps=1e-5):
        statistics = (self[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *statistics, eps=eps)

    def do_prelu(self, name, x):
        return F.prelu(x, self[f"{name}.weight"])


def normalised(x):
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    return (x - mean) / deviation


def denormalised(x):
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    return x * deviation + mean


def leftthomas(scale=4, normed=False):
    s, steps = State(), round(math.log2(scale))
    s.conv("block1.0", 3, WIDTH, 9)
    s.prelu("block1.1")
    for index in range(2, 2 + BLOCKS):
        for part in (1, 2):
            s.conv(f"block{index}.conv{part}", WIDTH, WIDTH)
            s.norm(f"block{index}.bn{part}", WIDTH, counted=normed)
        s.prelu(f"block{index}.prelu")
    fuse, up = f"block{2 + BLOCKS}", f"block{3 + BLOCKS}"
    s.conv(f"{fuse}.0", WIDTH, WIDTH)
    s.norm(f"{fuse}.1", WIDTH) if normed else s.prelu(f"{fuse}.1")
    for index in range(steps):
        s.conv(f"{up}.{index}.conv", WIDTH, 4 * WIDTH)
        s.prelu(f"{up}.{index}.prelu")
    s.conv(f"{up}.{steps}", WIDTH, 3, 9)

    def forward(x):
        first = x = s.do_prelu("block1.1", s.do_conv("block1.0", x))
        for index in range(2, 2 + BLOCKS):
            block = f"block{index}"
            y = s.do_prelu(f"{block}.prelu", s.do_norm(f"{block}.bn1", s.do_conv(f"{block}.conv1", x)))
            x = x + s.do_norm(f"{block}.bn2", s.do_conv(f"{block}.conv2", y))
        x = s.do_conv(f"{fuse}.0", x)
        x = first + (s.do_norm(f"{fuse}.1", x) if normed else s.do_prelu(f"{fuse}.1", x))
        for index in range(steps):
            x = s.do_prelu(f"{up}.{index}.prelu", F.pixel_shuffle(s.do_conv(f"{up}.{index}.conv", x), 2))
        return (torch.tanh(s.do_conv(f"{up}.{steps}", x)) + 1) / 2

    return s, forward, {"layout": "leftthomas", "architecture": "SRResNet", "scale": scale}


def lornatang(scale=4, conv="conv"):
    s, steps = State(), round(math.log2(scale))
    s.conv(f"{conv}1.0", 3, WIDTH, 9)
    s.prelu(f"{conv}1.1")
    for index in range(BLOCKS):
        s.conv(f"trunk.{index}.rcb.0", WIDTH, WIDTH, bias=False)
        s.norm(f"trunk.{index}.rcb.1", WIDTH)
        s.prelu(f"trunk.{index}.rcb.2")
        s.conv(f"trunk.{index}.rcb.3", WIDTH, WIDTH, bias=False)
        s.norm(f"trunk.{index}.rcb.4", WIDTH)
    s.conv(f"{conv}2.0", WIDTH, WIDTH, bias=False)
    s.norm(f"{conv}2.1", WIDTH)
    for index in range(steps):
        s.conv(f"upsampling.{index}.upsample_block.0", WIDTH, 4 * WIDTH)
        s.prelu(f"upsampling.{index}.upsample_block.2")
    s.conv(f"{conv}3", WIDTH, 3, 9)

    def forward(x):
        first = x = s.do_prelu(f"{conv}1.1", s.do_conv(f"{conv}1.0", x))
        for index in range(BLOCKS):
            block = f"trunk.{index}.rcb"
            y = s.do_prelu(f"{block}.2", s.do_norm(f"{block}.1", s.do_conv(f"{block}.0", x)))
            x = x + s.do_norm(f"{block}.4", s.do_conv(f"{block}.3", y))
        x = first + s.do_norm(f"{conv}2.1", s.do_conv(f"{conv}2.0", x))
        for index in range(steps):
            step = f"upsampling.{index}.upsample_block"
            x = s.do_prelu(f"{step}.2", F.pixel_shuffle(s.do_conv(f"{step}.0", x), 2))
        return s.do_conv(f"{conv}3", x).clamp(0, 1)

    return s, forward, {"layout": "Lornatang", "architecture": "SRResNet", "scale": scale}


def sgrvinod(scale=4):
    s, steps = State(), round(math.log2(scale))
    s.conv("conv_block1.conv_block.0", 3, WIDTH, 9)
    s.prelu("conv_block1.conv_block.1")
    for index in range(BLOCKS):
        for part in (1, 2):
            s.conv(f"residual_blocks.{index}.conv_block{part}.conv_block.0", WIDTH, WIDTH)
            s.norm(f"residual_blocks.{index}.conv_block{part}.conv_block.1", WIDTH)
        s.prelu(f"residual_blocks.{index}.conv_block1.conv_block.2")
    s.conv("conv_block2.conv_block.0", WIDTH, WIDTH)
    s.norm("conv_block2.conv_block.1", WIDTH)
    for index in range(steps):
        s.conv(f"subpixel_convolutional_blocks.{index}.conv", WIDTH, 4 * WIDTH)
        s.prelu(f"subpixel_convolutional_blocks.{index}.prelu")
    s.conv("conv_block3.conv_block.0", WIDTH, 3, 9)

    def forward(x):
        first = x = s.do_prelu("conv_block1.conv_block.1", s.do_conv("conv_block1.conv_block.0", normalised(x)))
        for index in range(BLOCKS):
            one, two = (f"residual_blocks.{index}.conv_block{part}.conv_block" for part in (1, 2))
            y = s.do_prelu(f"{one}.2", s.do_norm(f"{one}.1", s.do_conv(f"{one}.0", x)))
            x = x + s.do_norm(f"{two}.1", s.do_conv(f"{two}.0", y))
        x = first + s.do_norm("conv_block2.conv_block.1", s.do_conv("conv_block2.conv_block.0", x))
        for index in range(steps):
            step = f"subpixel_convolutional_blocks.{index}"
            x = s.do_prelu(f"{step}.prelu", F.pixel_shuffle(s.do_conv(f"{step}.conv", x), 2))
        return (torch.tanh(s.do_conv("conv_block3.conv_block.0", x)) + 1) / 2

    return s, forward, {"layout": "sgrvinod", "architecture": "SRResNet", "scale": scale, "input_range": "imagenet"}


def eriklindernoren(scale=4, relu=False):
    s, steps = State(), round(math.log2(scale))
    eps = 1e-5 if relu else ERIKLINDERNOREN_EPS
    s.conv("conv1.0", 3, WIDTH, 9)
    for index in range(BLOCKS):
        for conv, norm in ((0, 1), (3, 4)):
            s.conv(f"res_blocks.{index}.conv_block.{conv}", WIDTH, WIDTH)
            s.norm(f"res_blocks.{index}.conv_block.{norm}", WIDTH)
    s.conv("conv2.0", WIDTH, WIDTH)
    s.norm("conv2.1", WIDTH)
    for index in range(steps):
        s.conv(f"upsampling.{4 * index}", WIDTH, 4 * WIDTH)
        s.norm(f"upsampling.{4 * index + 1}", 4 * WIDTH)
    s.conv("conv3.0", WIDTH, 3, 9)
    if not relu:
        for name in ("conv1.1", *(f"res_blocks.{index}.conv_block.2" for index in range(BLOCKS))):
            s.prelu(name)
        for index in range(steps):
            s.prelu(f"upsampling.{4 * index + 3}")

    def act(name, x):
        return F.relu(x) if relu else s.do_prelu(name, x)

    def forward(x):
        first = x = act("conv1.1", s.do_conv("conv1.0", 2 * x - 1 if relu else normalised(x)))
        for index in range(BLOCKS):
            block = f"res_blocks.{index}.conv_block"
            y = act(f"{block}.2", s.do_norm(f"{block}.1", s.do_conv(f"{block}.0", x), eps))
            x = x + s.do_norm(f"{block}.4", s.do_conv(f"{block}.3", y), eps)
        x = first + s.do_norm("conv2.1", s.do_conv("conv2.0", x), eps)
        for index in range(steps):
            y = s.do_norm(f"upsampling.{4 * index + 1}", s.do_conv(f"upsampling.{4 * index}", x))
            x = act(f"upsampling.{4 * index + 3}", F.pixel_shuffle(y, 2))
        x = torch.tanh(s.do_conv("conv3.0", x))
        return (x + 1) / 2 if relu else denormalised(x).clamp(0, 1)

    facts = {"layout": "eriklindernoren", "architecture": "SRResNet", "scale": scale}
    return s, forward, {**facts, "input_range": "signed" if relu else "imagenet"}


def msrresnet(scale=4, channels=3):
    s, step = State(), 3 if scale == 3 else 2
    s.conv("conv_first", channels, WIDTH)
    for index in range(BLOCKS):
        s.conv(f"body.{index}.conv1", WIDTH, WIDTH)
        s.conv(f"body.{index}.conv2", WIDTH, WIDTH)
    ups = ["upconv1", "upconv2"] if scale == 4 else ["upconv1"]
    for name in ups:
        s.conv(name, WIDTH, step**2 * WIDTH)
    s.conv("conv_hr", WIDTH, WIDTH)
    s.conv("conv_last", WIDTH, channels)

    def forward(x):
        base = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        x = F.leaky_relu(s.do_conv("conv_first", x), 0.1)
        for index in range(BLOCKS):
            x = x + s.do_conv(f"body.{index}.conv2", F.relu(s.do_conv(f"body.{index}.conv1", x)))
        for name in ups:
            x = F.leaky_relu(F.pixel_shuffle(s.do_conv(name, x), step), 0.1)
        return (s.do_conv("conv_last", F.leaky_relu(s.do_conv("conv_hr", x), 0.1)) + base).clamp(0, 1)

    facts = {"layout": "BasicSR MSRResNet", "architecture": "MSRResNet", "scale": scale}
    return s, forward, {**facts, "channels": channels}


RRDB_NAMES = {
    "BasicSR RRDBNet": ("conv_first", "body.{}.rdb{}.conv{}", "conv_body", "conv_up{}", "conv_hr", "conv_last"),
    "ESRGAN": ("conv_first", "RRDB_trunk.{}.RDB{}.conv{}", "trunk_conv", "upconv{}", "HRconv", "conv_last"),
}


def rrdb(spelling, scale=4, unshuffle=1):
    s, steps = State(), round(math.log2(scale * unshuffle))
    if spelling == "ESRGAN (old)":
        first, block, fuse = "model.0", "model.1.sub.{}.RDB{}.conv{}.0", f"model.1.sub.{BLOCKS}"
        ups = [f"model.{3 * index}" for index in range(1, steps + 1)]
        large, last = f"model.{3 * steps + 2}", f"model.{3 * steps + 4}"
    else:
        first, block, fuse, up, large, last = RRDB_NAMES[spelling]
        ups = [up.format(index) for index in range(1, steps + 1)]
    s.conv(first, 3 * unshuffle**2, WIDTH)
    for index in range(BLOCKS):
        for dense in (1, 2, 3):
            for conv in range(1, 6):
                outputs = WIDTH if conv == 5 else GROWTH
                s.conv(block.format(index, dense, conv), WIDTH + (conv - 1) * GROWTH, outputs)
    for name in (fuse, *ups, large):
        s.conv(name, WIDTH, WIDTH)
    s.conv(last, WIDTH, 3)

    def forward(x):
        x = F.pixel_unshuffle(x, unshuffle)
        start = x = s.do_conv(first, x)
        for index in range(BLOCKS):
            outer = x
            for dense in (1, 2, 3):
                seen = [x]
                for conv in range(1, 5):
                    y = s.do_conv(block.format(index, dense, conv), torch.cat(seen, 1))
                    seen.append(F.leaky_relu(y, 0.2))
                x = x + 0.2 * s.do_conv(block.format(index, dense, 5), torch.cat(seen, 1))
            x = outer + 0.2 * x
        x = start + s.do_conv(fuse, x)
        for name in ups:
            x = F.leaky_relu(s.do_conv(name, F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return s.do_conv(last, F.leaky_relu(s.do_conv(large, x), 0.2)).clamp(0, 1)

    return s, forward, {"layout": spelling, "architecture": "RRDBNet", "scale": scale, "unshuffle": unshuffle}


CASES = {
    "leftthomas": leftthomas(),
    "leftthomas x2 with norm": leftthomas(2, normed=True),
    "Lornatang": lornatang(),
    "Lornatang x8, older names": lornatang(8, conv="conv_block"),
    "sgrvinod": sgrvinod(),
    "sgrvinod x2": sgrvinod(2),
    "eriklindernoren": eriklindernoren(),
    "eriklindernoren x2, ReLU": eriklindernoren(2, relu=True),
    "MSRResNet": msrresnet(),
    "MSRResNet x2": msrresnet(2),
    "MSRResNet x3": msrresnet(3),
    "MSRResNet for grey": msrresnet(4, channels=1),
    "ESRGAN old": rrdb("ESRGAN (old)"),
    "ESRGAN old x2": rrdb("ESRGAN (old)", 2),
    "ESRGAN new": rrdb("ESRGAN"),
    "BasicSR RRDBNet": rrdb("BasicSR RRDBNet"),
    "Real-ESRGAN x2": rrdb("BasicSR RRDBNet", 2, unshuffle=2),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_of_a_layout_give_what_its_own_network_gives(case, tmp_path):
    state, forward, facts = CASES[case]
    torch.save(dict(state), tmp_path / "weights.pth")
    checkpoint = formats.load(tmp_path / "weights.pth")
    network = checkpoint.network
    expected = {"blocks": BLOCKS, "width": WIDTH, "channels": 3, "unshuffle": 1, "input_range": "unit", **facts}
    for name, value in expected.items():
        assert getattr(checkpoint if hasattr(checkpoint, name) else network, name) == value, name
    x = torch.rand(1, network.channels, 10, 12)
    with torch.no_grad():
        found = checkpoint.to_colours(network(checkpoint.to_input(x)))
        reference = forward(x)
    assert reference.std() > 0.01  # the weights matter
    assert (found - reference).abs().max() < 2e-6


@pytest.mark.parametrize("case", CASES)
def test_weights_in_our_own_layout_are_the_same_network(case, tmp_path):
    torch.save(dict(CASES[case][0]), tmp_path / "weights.pth")
    first = formats.load(tmp_path / "weights.pth")
    formats.save(first, tmp_path / "own.safetensors")
    again = formats.load(tmp_path / "own.safetensors")
    assert again.layout == "fastsr"
    assert again.network.config == first.network.config
    assert (again.input_range, again.output_range) == (first.input_range, first.output_range)
    x = torch.rand(1, first.network.channels, 10, 12)
    with torch.no_grad():
        assert torch.equal(again.network(x), first.network(x))


WRAPPED = {
    "state_dict": lambda s: {"epoch": 3, "state_dict": s},
    "params_ema before params": lambda s: {"params": {key: 0 * value for key, value in s.items()}, "params_ema": s},
    "two levels": lambda s: {"model": {"state_dict": s}},
    "net": lambda s: {"net": s},
    "generator, beside a discriminator": lambda s: {"discriminator": {"a": torch.zeros(1)}, "generator": s},
    "module": lambda s: {f"module.{key}": value for key, value in s.items()},
    "compiled": lambda s: {"state_dict": {f"_orig_mod.{key}": value for key, value in s.items()}},
    "netG, beside a discriminator": lambda s: {"netD.x": torch.zeros(1)} | {f"netG.{k}": v for k, v in s.items()},
    "generator of sgrvinod": lambda s: {f"net.{key}": value for key, value in s.items()},
    "several": lambda s: {"params": {f"generator.module._orig_mod.{key}": value for key, value in s.items()}},
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_wrappers_and_prefixes_are_removed(wrapping, tmp_path):
    state, forward, _ = CASES["sgrvinod"]
    torch.save(WRAPPED[wrapping](dict(state)), tmp_path / "weights.pth")
    checkpoint = formats.load(tmp_path / "weights.pth")
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert (checkpoint.to_colours(checkpoint.network(checkpoint.to_input(x))) - forward(x)).abs().max() < 2e-6


def test_half_precision_weights_are_computed_with_in_float32(tmp_path):
    torch.save({key: value.half() for key, value in CASES["BasicSR RRDBNet"][0].items()}, tmp_path / "weights.pth")
    network = formats.load(tmp_path / "weights.pth").network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def load_changed(tmp_path, case, change):
    state = dict(CASES[case][0])
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    return formats.load(tmp_path / "weights.pth")


@pytest.mark.parametrize("case", CASES)
def test_missing_weights_are_named(case, tmp_path):
    keys = [key for key in CASES[case][0] if not key.endswith("num_batches_tracked")]
    for lost in (keys[0], keys[len(keys) // 2], keys[-1]):
        with pytest.raises(InputError, match=r"does not fit|is not complete|of an unknown network|not supported"):
            load_changed(tmp_path, case, lambda state, lost=lost: state.pop(lost))


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(InputError, match=r"looks like leftthomas, but does not fit: unknown attention\.weight"):
        load_changed(tmp_path, "leftthomas", lambda state: state.update({"attention.weight": torch.zeros(3)}))
    wrong = {"block2.conv1.weight": torch.zeros(8, 8, 3, 3), "block3.conv1.weight": torch.zeros(4, 8, 3, 3)}
    with pytest.raises(InputError, match=r"trunk\.1\.conv1\.weight of shape \(4, 8, 3, 3\) instead of \(8, 8, 3, 3\)"):
        load_changed(tmp_path, "leftthomas", lambda state: state.update(wrong))


def test_a_network_that_does_not_enlarge_is_refused(tmp_path):
    state, _, _ = rrdb("BasicSR RRDBNet", 1, unshuffle=4)
    torch.save(dict(state), tmp_path / "weights.pth")
    with pytest.raises(InputError, match="not supported: doublings=2 and unshuffle=4 do not enlarge"):
        formats.load(tmp_path / "weights.pth")
