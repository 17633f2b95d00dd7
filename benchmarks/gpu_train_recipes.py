"""How each of the bundled weights is trained on a GPU, by `benchmarks.gpu_train`.

These are all settings but the number of steps, which is made to fill the minutes on the machine that is there. Paths
are relative to the folder of the runs, in which `data` is the folder that `gpu_train prepare` made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How weights are trained.

    Attributes:
        name: of the weights.
        minutes: for all of it: the start of the process, steps, validations, and writing the results.
        method: of `fastsr train`.
        settings: its options, but for those of the steps.
        steps: the option that says how many steps there are.
        stage: the name that `fastsr train` gives the weights.
        looks: how often the run is validated and shown.
        cooldown: the part of the steps over which the rate falls towards zero; 0 where the method has no such setting.
        start: the recipe whose weights it begins with, which `START` in the folder of the run then holds.
    """

    name: str
    minutes: float
    method: str
    settings: str
    steps: str
    stage: str
    looks: int
    cooldown: float = 0.0
    start: str | None = None

    @property
    def folders(self) -> list[str]:
        """What it reads of the data: files and folders."""
        words = self.settings.split()
        return sorted({word.removeprefix("data/") for word in words if word.startswith("data/")})


START = "start.safetensors"
PHOTOS = "--data data/bsds500_train --data data/bsds500_test --data data/t91 --val data/Set5"
FACES = "--data data/faces --val data/faces_val"
COMMON = "--precision bfloat16 --workers 8"

# With small batches a GPU would wait for the processor, which has hundreds of operations to begin in each step: batches
# and crops are larger than on a CPU.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "srresnet-x4",
            minutes=5.5,
            method="srgan",
            settings=f"{PHOTOS} {COMMON} --gan-steps 0 --batch 64 --crop 128 --rate 1e-3",
            steps="--mse-steps",
            stage="srresnet",
            looks=6,
            cooldown=0.75,
        ),
        Recipe(
            "srresnet-x2",
            minutes=3,
            method="srgan",
            settings=f"{PHOTOS} {COMMON} --gan-steps 0 --factor 2 --batch 32 --crop 96 --rate 1e-3",
            steps="--mse-steps",
            stage="srresnet",
            looks=4,
            cooldown=0.75,
        ),
        Recipe(
            "srgan-x4",
            minutes=4,
            method="srgan",
            settings=f"{PHOTOS} {COMMON} --mse-steps 0 --init srgan-x4/{START} --batch 32 --crop 96 --rate 5e-5 "
            "--pixel 1 --content vgg22 --vgg-weights data/vgg19-normalised-conv3_1.pth",
            steps="--gan-steps",
            stage="srgan",
            looks=4,
            start="srresnet-x4",
        ),
        Recipe(
            "sr3-faces-x8",
            minutes=5.5,
            method="sr3",
            settings=f"{FACES} {COMMON} --crop 128 --width 48 --multipliers 1 --multipliers 2 --multipliers 4 "
            "--multipliers 4 --blocks 1 --attention 16 --groups 16 --dropout 0.2 --prediction v --batch 32 "
            "--rate 4e-4 --warm-up 300 --ema 0.9995",
            steps="--steps",
            stage="sr3",
            looks=2,
        ),
        Recipe(
            "faces-128",
            minutes=7,
            method="stylegan",
            settings=f"{FACES} {COMMON} --resolution 128 --latent 256 --mapping-layers 4 --fmap-base 4096 "
            "--fmap-max 256 --batch 64 --rate 2.5e-3 --gamma 1 --augment-images 100000",
            steps="--steps",
            stage="stylegan",
            looks=6,
        ),
    )
}
