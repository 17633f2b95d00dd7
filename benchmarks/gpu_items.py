"""What is to be run on a GPU, by `benchmarks.gpu_queue`, and of which files it is a result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """Something to be run on a GPU."""

    name: str
    """Also that of its result file."""
    priority: int
    """1 comes first."""
    why: str
    function: str
    """`module:function`, called without arguments; it returns what JSON can hold, and raises when it fails.

    What it returns may say that it is not "complete": then it is called again, and goes on.
    """
    minutes: float
    """An estimate, upwards."""
    sources: tuple[str, ...]
    """Globs, from the root: the result is outdated when one of these files changes."""
    anywhere: bool = False
    """Whether a result of another device counts, for it is no measurement of this one."""


KERNELS = "kernels/fastsr_kernels/"
OPS = tuple(f"{KERNELS}{name}.py" for name in ("arguments", "backend", "definitions", "memory", "tiles"))
"""What every op may use."""
NOISE = (*OPS, f"{KERNELS}noise*.py", f"{KERNELS}philox.py")
HARNESS = ("benchmarks/kernels.py", "benchmarks/measure.py", "benchmarks/timing.py")
DIP = (
    "fastsr/dip/*.py",
    *(f"fastsr/{name}.py" for name in ("allocation", "consistency", "device", "graph", "masks", "nn", "operators")),
    f"{KERNELS}*.py",
    f"{KERNELS}reflect_conv_table.json",
)
SR3 = ("fastsr/sr3/*.py", "fastsr/graph.py", "fastsr/nn.py", f"{KERNELS}*.py")
PULSE = ("fastsr/pulse/*.py", "fastsr/consistency.py", "fastsr/graph.py", f"{KERNELS}*.py")
STYLE = (*OPS, *(f"{KERNELS}{name}.py" for name in ("channel_statistics", "style*", "upsample_blur*")))
SCORING = tuple(f"fastsr/{name}.py" for name in ("codecs", "images", "methods", "metrics", "resize"))
PROTOCOLS = ("fastsr/data/benchmarks.py", "fastsr/data/protocols.py")
# Of a training the recipe alone: other code would train other weights, and those that there are stay as good.
RECIPES = ("benchmarks/gpu_train_recipes.py",)
SET14 = (*DIP, *SCORING, *PROTOCOLS, "fastsr/evaluate/*.py", "benchmarks/dip_set14.py", "benchmarks/dip_published.csv")
TRAINED = (
    ("srresnet-x4", "SRResNet x4, of which SRGAN is made", 6.5),
    ("srresnet-x2", "SRResNet x2", 4.0),
    ("srgan-x4", "SRGAN x4 from SRResNet x4", 5.0),
    ("sr3-faces-x8", "SR3 for faces from 16x16 to 128x128", 6.5),
    ("faces-128", "StyleGAN for faces of 128x128", 8.0),
)
"""Recipes of `benchmarks.gpu_train_recipes`, in their order, what they train, and minutes with start and transfers."""
ITEMS = (
    Item(
        "kernels-correct",
        priority=1,
        why="no kernel has met a GPU until its tests have",
        function="benchmarks.correctness:run",
        minutes=6,
        sources=(f"{KERNELS}*.py", "tests/kernels/*.py", "benchmarks/correctness.py"),
    ),
    Item(
        "graphs-correct",
        priority=2,
        why="replays of the captured steps of fastsr.dip, fastsr.sr3 and fastsr.pulse, what ends a fit, and several "
        "fits at once, bit by bit",
        function="benchmarks.correctness:graphs",
        minutes=1.5,
        sources=(
            *DIP,
            *SR3,
            *PULSE,
            "tests/fastsr/test_graph.py",
            "tests/fastsr/sr3/test_graph.py",
            "tests/fastsr/pulse/test_graph.py",
            "benchmarks/correctness.py",
        ),
    ),
    Item(
        "noise",
        priority=3,
        why="bandwidth against a copy (target 85 %) and against z + sigma * randn_like",
        function="benchmarks.kernels:noise",
        minutes=1.5,
        sources=(*NOISE, *HARNESS),
    ),
    Item(
        "resample",
        priority=4,
        why="bandwidth against a copy (target 70 % at 16x3x1024x1024) and against pad + conv2d and interpolate",
        function="benchmarks.kernels:resample_op",
        minutes=2,
        sources=(*OPS, f"{KERNELS}resample*.py", f"{KERNELS}axis_table.py", *HARNESS),
    ),
    Item(
        "norms",
        priority=5,
        why="norm_act_pad (target 80 % of copy bandwidth) and upsample_norm_pad, against torch's separate steps",
        function="benchmarks.kernels:norms",
        minutes=1.5,
        sources=(
            *OPS,
            *(f"{KERNELS}{name}.py" for name in ("channel_statistics", "*_pad", "*_pad_*kernels")),
            *HARNESS,
        ),
    ),
    Item(
        "diffusion",
        priority=6,
        why="diffuse and reverse_step: bandwidth against a copy (target 80 % at 16x3x512x512) and against torch's "
        "formulas, eager and compiled",
        function="benchmarks.kernels:diffusion",
        minutes=2,
        sources=(*NOISE, "benchmarks/diffusion_cases.py", *HARNESS),
    ),
    Item(
        "group-norm",
        priority=7,
        why="group_norm with Swish and shift: bandwidth against a copy (target 80 % at 4x192x256x256) and against "
        "torch's functions, eager and compiled",
        function="benchmarks.kernels:group_norms",
        minutes=2.5,
        sources=(
            *OPS,
            *(f"{KERNELS}{name}.py" for name in ("channel_statistics", "group_norm*")),
            "benchmarks/group_norm_cases.py",
            *HARNESS,
        ),
    ),
    Item(
        "style",
        priority=8,
        why="style_epilogue: bandwidth against a copy (target 80 % at 1x16x1024x1024) and against torch's functions, "
        "eager and compiled",
        function="benchmarks.kernels:styles",
        minutes=3,
        sources=(*STYLE, "benchmarks/style_cases.py", *HARNESS),
    ),
    Item(
        "blur",
        priority=9,
        why="upsample_blur and blur_downsample: bandwidth against a copy (targets 80 and 70 %) and against torch's "
        "functions, eager and compiled",
        function="benchmarks.kernels:blurs",
        minutes=2,
        sources=(
            *OPS,
            f"{KERNELS}upsample_blur*.py",
            "benchmarks/blur_cases.py",
            *HARNESS,
        ),
    ),
    Item(
        "reflect-conv",
        priority=10,
        why="128->128 3x3 at 512x512 in bfloat16: target 60 % of the matrix rate each way, and no slower than "
        "F.pad + cuDNN; then run benchmarks.conv_table, and the queue again",
        function="benchmarks.kernels:convolutions",
        minutes=6,
        sources=(
            *OPS,
            f"{KERNELS}reflect_conv*.py",
            f"{KERNELS}reflect_pad*.py",
            "benchmarks/conv_cases.py",
            *HARNESS,
        ),
    ),
    Item(
        "dip-step",
        priority=11,
        why="milliseconds a step of fastsr.dip at 512x512 (targets: paper 2.0, fast 0.8), against a straightforward "
        "module, eager and compiled",
        function="benchmarks.dip_step:run",
        minutes=5,
        sources=(*DIP, "benchmarks/dip_step.py", "benchmarks/straightforward.py"),
    ),
    Item(
        "set14-fast-x8",
        priority=12,
        why="Set14 x8 by the paper's protocol, preset fast, beside the published pictures: mean of at least 24.15 dB",
        function="benchmarks.dip_set14:fast_x8",
        minutes=3,
        sources=SET14,
    ),
    Item(
        "set14-fast-x4",
        priority=13,
        why="Set14 x4, preset fast, beside the published pictures (mean 27.005 dB)",
        function="benchmarks.dip_set14:fast_x4",
        minutes=3,
        sources=SET14,
    ),
    Item(
        "set14-paper-x8",
        priority=14,
        why="Set14 x8, preset paper, 5000 steps a picture; goes on where it was stopped",
        function="benchmarks.dip_set14:paper_x8",
        minutes=8,
        sources=SET14,
    ),
    Item(
        "set14-paper-x4",
        priority=15,
        why="Set14 x4, preset paper, 2000 steps a picture; goes on where it was stopped",
        function="benchmarks.dip_set14:paper_x4",
        minutes=5,
        sources=SET14,
    ),
    Item(
        "dip-tasks-fast",
        priority=16,
        why="denoising and restoration on the paper's pictures, preset fast, beside the published figures",
        function="benchmarks.dip_tasks:fast",
        minutes=3,
        sources=(*DIP, *SCORING, "benchmarks/dip_tasks.py"),
    ),
    Item(
        "dip-tasks-paper",
        priority=17,
        why="the same with preset paper, 3000 and 11000 steps a picture",
        function="benchmarks.dip_tasks:paper",
        minutes=9,
        sources=(*DIP, *SCORING, "benchmarks/dip_tasks.py"),
    ),
    Item(
        "srgan-speed",
        priority=18,
        why="SRResNet x4 at 256x256 and 1024x1024 against the straightforward module, eager and compiled: seconds, "
        "peak memory, and PSNR of Set5",
        function="benchmarks.srgan_speed:run",
        minutes=4,
        sources=(
            *(f"fastsr/srgan/{name}.py" for name in ("checkpoint", "fast", "inference", "network")),
            *(f"fastsr/{name}.py" for name in ("allocation", "device", "tiling")),
            *PROTOCOLS,
            "benchmarks/srgan_speed.py",
        ),
    ),
    Item(
        "sr3-speed",
        priority=19,
        why="milliseconds a step of fastsr.sr3 with the two published U-Nets, as a graph in bfloat16, against a "
        "straightforward module, eager and compiled",
        function="benchmarks.sr3_speed:run",
        minutes=4,
        sources=(*SR3, "benchmarks/sr3_speed.py", "benchmarks/step_times.py", "benchmarks/straightforward_sr3.py"),
    ),
    Item(
        "pulse-speed",
        priority=20,
        why="milliseconds a step of fastsr.pulse at 64x64, 256x256 and 1024x1024, as a graph in bfloat16, against a "
        "straightforward module, eager and compiled",
        function="benchmarks.pulse_speed:run",
        minutes=5,
        sources=(
            *PULSE,
            "benchmarks/pulse_speed.py",
            "benchmarks/step_times.py",
            "benchmarks/straightforward_stylegan.py",
        ),
    ),
    Item(
        "loader",
        priority=21,
        why="whether loading keeps up with a training step of SRGAN's first stage: crops a second of both",
        function="benchmarks.loader:run",
        minutes=3,
        sources=(
            *(f"fastsr/{name}/*.py" for name in ("data", "training")),
            *(f"fastsr/srgan/{name}.py" for name in ("losses", "network", "training", "train_parts", "train_settings")),
            *(f"fastsr/{name}.py" for name in ("allocation", "device", "resize")),
            *(f"{KERNELS}{name}.py" for name in ("axis_table", "backend", "resample")),
            "benchmarks/loader.py",
        ),
    ),
    *(
        Item(
            f"train-{name}",
            priority=priority,
            why=f"weights: {what}; the run goes on where it was stopped",
            function=f"benchmarks.gpu_train:{name.replace('-', '_')}",
            minutes=minutes,
            sources=RECIPES,
            anywhere=True,
        )
        for priority, (name, what, minutes) in enumerate(TRAINED, 22)
    ),
)
