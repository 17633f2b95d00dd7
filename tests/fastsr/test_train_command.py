"""fastsr train, as a user types it; and what becomes of it when it is killed, or shared by processes."""

import multiprocessing
import os
import random
import re
import signal
import socket
import time
from dataclasses import fields
from functools import partial

import pytest
import torch
import yaml
from accelerate.commands.launch import launch_command_parser
from click.testing import CliRunner
from torch.distributed.run import get_args_parser

from fastsr.cli import main
from fastsr.pulse.train_settings import TrainSettings as StyleGANSettings
from fastsr.sr3.train_settings import TrainSettings as SR3Settings
from fastsr.srgan.train_settings import TrainSettings
from fastsr.training import packages
from fastsr.training.run_folder import RunFolder
from tests import command_line

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def options(pictures):
    """Those of a small training without a second stage."""
    text = f"--data {pictures} --device cpu --crop 16 --batch 4 --blocks 1 --width 8 --workers 0 --mse-steps 6"
    return [*text.split(), "--gan-steps", "0", "--content", "mse", "--log-every", "1", "--save-every", "2"]


run = partial(command_line.run, "train", "srgan")


def test_a_run_ends_with_its_folder(options, tmp_path, runs):
    status, out, err = run(*options, "-o", tmp_path / "run")
    assert (status, out, err) == (0, f"{tmp_path / 'run'}: 6 steps done\n", "")
    assert [line["step"] for line in runs.lines(tmp_path / "run")] == list(range(1, 7))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoints",
        "config.yaml",
        "losses.jsonl",
        "samples",
    ]


def test_the_folder_is_named_by_the_method(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*options)[0] == 0
    assert (tmp_path / "runs" / "srgan" / "losses.jsonl").exists()


@pytest.mark.parametrize(
    ("method", "settings"), [("srgan", TrainSettings), ("sr3", SR3Settings), ("stylegan", StyleGANSettings)]
)
def test_options_are_not_taken_for_those_of_launchers(method, settings):
    names = [each.name.replace("_", "-") for each in fields(settings)] + ["output", "config"]
    words = ["train", method, *(word for name in names for word in (f"--{name}", "value"))]
    for parser in (get_args_parser(), launch_command_parser()):
        assert parser.parse_args(["-m", "fastsr", *words]).training_script_args == words


def test_validations_are_printed(options, pictures, tmp_path):
    status, out, _ = run(*options, "--val", pictures, "--validate-every", 4, "-o", tmp_path / "run")
    assert status == 0
    scores = r"psnr [\d.]+, ssim [\d.-]+, consistency [\d.-]+"
    assert re.fullmatch(rf"step 4: {scores}\nstep 6: {scores}\n.*6 steps done\n", out)


def test_a_file_has_settings_and_the_command_line_wins(options, pictures, tmp_path, runs):
    values = {"data": str(pictures), "mse_steps": 3, "seed": 5, "batch": 2}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    status, _, _ = run(*options[2:], "--config", tmp_path / "mine.yaml", "-o", tmp_path / "run")
    assert status == 0
    found = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (found["data"], found["mse_steps"], found["seed"], found["batch"]) == ([str(pictures)], 6, 5, 4)
    again = run("--config", tmp_path / "run" / "config.yaml", "-o", tmp_path / "again")
    assert again[0] == 0
    runs.assert_same(tmp_path / "run", tmp_path / "again")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--crop", "64"], "smaller than the crop of 64x64"),
        (["--batch", "0"], "--batch 0 cannot be used; give at least 1"),
        (["--precision", "no"], "--precision no is unknown"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml is not there"),
        (["--init", "nowhere.pth"], "--init nowhere.pth is not there"),
        (["--device", "tpu"], "--device tpu"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_line(changed, message, options, tmp_path):
    status, out, err = run(*options, *changed, "-o", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_training_needs_a_folder(options):
    status, _, err = run(*options[2:])
    assert (status, err) == (2, "Error: data: no folder; give at least one of training pictures\n")


def test_other_settings_in_the_same_folder_are_refused_before_the_work(options, pictures, tmp_path):
    run(*options, "-o", tmp_path / "run")
    (pictures / "broken.png").write_text("no picture")  # is not looked at
    status, _, err = run(*options, "--rate", "0.1", "--log-every", "3", "-o", tmp_path / "run")
    assert status == 2
    assert "holds a run of 6 steps with other settings: rate was 0.0001 and is 0.1. Name another folder" in err


def test_missing_packages_are_told(options, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "yaml" else object())
    status, _, err = run(*options)
    assert (status, err) == (2, "Error: fastsr train needs pyyaml: pip install pyyaml\n")


def test_unknown_methods_are_refused():
    result = CliRunner().invoke(main, ["train", "magic"])
    assert result.exit_code == 2
    assert "No such command 'magic'" in result.stderr
    help_text = CliRunner().invoke(main, ["train", "--help"]).output
    assert "srgan" in help_text
    assert "sr3" in help_text
    assert "stylegan" in help_text


@pytest.mark.parametrize("method", ["srgan", "sr3", "stylegan"])
def test_help_has_an_example_of_the_method(method):
    help_text = CliRunner().invoke(main, ["train", method, "--help"]).output
    assert re.search(rf"^ +fastsr train {method} --data .* -o runs/{method}$", help_text, re.MULTILINE)


def test_sr3_trains_by_command(pictures, tmp_path):
    text = "--factor 4 --crop 16 --width 8 --multipliers 1 --multipliers 2 --blocks 1 --attention 8 --groups 4"
    words = ["train", "sr3", "--data", pictures, *text.split(), "--batch", 2, "--steps", 2, "--val-steps", 2]
    words += ["--workers", 0, "--device", "cpu", "-o", tmp_path / "run"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{tmp_path / 'run'}: 2 steps done\n", "")
    result = CliRunner().invoke(main, [str(word) for word in [*words, "--crop", 18]])
    assert result.exit_code == 2
    assert result.stderr == "Error: --crop 18 cannot be used; --factor 4 needs a multiple of 4\n"


def test_stylegan_trains_by_command(pictures, tmp_path):
    text = "--resolution 8 --latent 8 --mapping-layers 2 --fmap-base 32 --fmap-max 8 --batch 2 --steps 2 --workers 0"
    words = ["train", "stylegan", "--data", pictures, *text.split(), "--device", "cpu", "-o", tmp_path / "run"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{tmp_path / 'run'}: 2 steps done\n", "")


@pytest.fixture(scope="module")
def command():
    """A function that starts a command in a process and a group of its own, with one thread, and with an environment.

    The processes are forked from one that has all imported, and has one thread.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fastsr.cli", "fastsr.srgan.training", "fastsr.sr3.training"])

    def start(*arguments, error=os.devnull, **environment):
        words = [str(argument) for argument in arguments]
        environment = {"OMP_NUM_THREADS": "1", **{name: str(value) for name, value in environment.items()}}
        code = (
            f"import os, sys\nos.setsid()\nos.environ.update({environment!r})\nsys.stderr = open({str(error)!r}, 'w')\n"
            f"import torch\ntorch.set_num_threads(1)\nfrom fastsr.cli import main\nmain({words!r}, 'fastsr')\n"
        )
        process = context.Process(target=exec, args=(code,))
        process.start()
        return process

    return start


@pytest.fixture
def both_stages(options):
    """A training that goes through both stages."""
    return [
        "train",
        "srgan",
        *options,
        "--mse-steps",
        "12",
        "--gan-steps",
        "6",
        "--workers",
        "1",
        "--sample-every",
        "7",
    ]


def finish(process):
    process.join(300)
    assert process.exitcode == 0


def wait_for(condition, process):
    deadline = time.monotonic() + 300
    while not condition():
        assert process.is_alive(), process.exitcode
        assert time.monotonic() < deadline
        time.sleep(0.001)


def logged(folder):
    """How many lines the log has."""
    return (folder / "losses.jsonl").read_bytes().count(b"\n") if (folder / "losses.jsonl").exists() else 0


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(command, both_stages, tmp_path, runs):
    whole, killed, chance = tmp_path / "whole", tmp_path / "killed", random.Random()
    finish(command(*both_stages, "-o", whole))
    ends = []
    for count in sorted(chance.sample(range(1, 17), 4)):  # of 18 steps, of which 12 are the first stage
        process = command(*both_stages, "-o", killed)
        wait_for(lambda count=count: logged(killed) >= count, process)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.join()
        ends.append(process.exitcode)
    assert -signal.SIGKILL in ends
    finish(command(*both_stages, "-o", killed))
    runs.assert_same(whole, killed)
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (whole, killed)]
    assert files[0] == files[1]
    for path in (whole / "checkpoints").glob("*.safetensors"):
        assert path.read_bytes() == (killed / "checkpoints" / path.name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_is_no_loss(number, command, both_stages, tmp_path, runs):
    process = command(*both_stages, "--save-every", "1000", "-o", tmp_path / "run", error=tmp_path / "err")
    wait_for(lambda: logged(tmp_path / "run"), process)
    os.killpg(process.pid, number)  # as a terminal, torchrun and clusters do
    process.join(300)
    said = (tmp_path / "err").read_text()
    assert process.exitcode == 130, said
    step = int(re.search(r"Interrupted after step (\d+); the same command goes on from there", said)[1])
    assert runs.state(tmp_path / "run")["step"] == step == runs.lines(tmp_path / "run")[-1]["step"]


def test_a_folder_that_is_being_trained_in_is_refused(command, both_stages, tmp_path):
    with RunFolder(tmp_path / "run").sole_use():
        process = command(*both_stages, "-o", tmp_path / "run", error=tmp_path / "err")
        process.join(300)
    assert process.exitcode == 2
    assert "run is being trained in by another process; name another folder" in (tmp_path / "err").read_text()
    assert list((tmp_path / "run").iterdir()) == []


def train_by_two(command, words, folder):
    """Train in two processes at once, and in one in two parts; return their folders."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    together = [
        command(*words, "-o", folder / "two", error=folder / f"err{rank}", RANK=rank, LOCAL_RANK=rank, **common)
        for rank in range(2)
    ]
    finish(command(*words, "--accumulate", "2", "-o", folder / "one"))
    for rank, process in enumerate(together):
        finish(process)
        assert (folder / f"err{rank}").read_text() == ""
    return folder / "two", folder / "one"


def test_two_processes_train_as_one_with_two_parts(command, both_stages, pictures, tmp_path, runs):
    both_stages += ["--val", pictures, "--validate-every", "8"]
    folders = train_by_two(command, both_stages, tmp_path)
    two, one = (runs.lines(folder) for folder in folders)
    assert [(line["step"], line["stage"]) for line in two] == [(line["step"], line["stage"]) for line in one]
    assert [line["step"] for line in two if "val_psnr" in line] == [8, 12, 16, 18]
    for line, expected in zip(two, one, strict=True):
        # on the scores the statistics have influence
        for name in line.keys() - {"stage", "val_psnr", "val_ssim", "val_consistency"}:
            assert line[name] == pytest.approx(expected[name], rel=1e-5), (line["step"], name)
    states = [runs.state(folder)["modules"] for folder in folders]
    for name, weights in states[1].items():
        found = states[0][name]
        learnt = [key for key in weights if key.endswith(("weight", "bias"))]  # statistics are each process's own
        torch.testing.assert_close({key: found[key] for key in learnt}, {key: weights[key] for key in learnt})


def test_two_processes_train_sr3_as_one_with_two_parts(command, pictures, tmp_path, runs):
    text = "--factor 4 --crop 16 --width 8 --multipliers 1 --multipliers 2 --blocks 1 --attention 0 --groups 4"
    text += " --dropout 0 --batch 4 --steps 4 --warm-up 0 --val-steps 2 --workers 0 --device cpu --log-every 1"
    words = ["train", "sr3", "--data", pictures, *text.split()]
    folders = train_by_two(command, words, tmp_path)
    two, one = (runs.lines(folder) for folder in folders)
    assert [line["step"] for line in two] == [1, 2, 3, 4]
    assert [line["l1"] for line in two] == pytest.approx([line["l1"] for line in one], rel=1e-4)
    states = [runs.state(folder)["modules"] for folder in folders]
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-5)
