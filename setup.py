"""Packaging of spooftrace. tools/setup.sh installs it, with the versions of tools/constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "lib/spooftrace/__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

setup(
    name="spooftrace",
    version=VERSION,
    description="Recipes for speech deepfake detection and neural-codec source tracing",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_dir={"": "lib"},
    packages=find_packages("lib"),
    install_requires=[
        "geoopt>=0.5.1",  # the Poincaré ball
        "jsonargparse>=4.53",
        "kaldiio>=2.18",
        "lightning>=2.5",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pyworld-prebuilt>=0.3.6",  # the pyworld sources, as wheels: no compiler needed
        "pyyaml>=6",
        "rich>=13",
        "safetensors>=0.4",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "soundfile>=0.13",
        "soxr>=0.5",
        "tensorboard>=2.16",
        "torch>=2.4",
        "transformers>=4.46",
        "webrtcvad-wheels>=2.0.14",  # the webrtcvad sources, as wheels
    ],
    extras_require={
        "av": ["av>=14"],  # audio that libsndfile does not read: m4a, aac, webm ...
        "dev": [
            "hypothesis",
            "import-linter",
            "mkdocs",
            "mkdocstrings[python]",
            "mypy",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "types-PyYAML",
            "vermin",
        ],
        # Providers of pretrained models: tools/install_<name>.sh, which does more than pip (see there).
        "encodec": ["encodec==0.1.1"],
        "fairseq": ["fairseq-fixed==0.12.3.1"],
        "s3prl": ["espnet-s3prl==2026.5.14"],
        "speechbrain": ["speechbrain>=1.1"],
        "torchaudio": ["torchaudio>=2.11"],
    },
    entry_points={"console_scripts": ["spooftrace = spooftrace.cli.main:main"]},
)
