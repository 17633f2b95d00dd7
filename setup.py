"""Two import packages, one distribution: fastsr, and its ops as fastsr_kernels."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fastsr", "fastsr.*"]), *find_packages(where="kernels")],
    package_dir={"fastsr_kernels": "kernels/fastsr_kernels"},
)
