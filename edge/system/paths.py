"""Gives the default paths of files and folders."""

import os
from pathlib import Path

import platformdirs

BUNDLE_VARIABLE = "EDGE_BUNDLE"
ENGINES_VARIABLE = "EDGE_ENGINE_CACHE"


def default_bundle() -> Path:
    """Default bundle of the tools: ``$EDGE_BUNDLE``, else a folder of the user."""
    named = os.environ.get(BUNDLE_VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_data_dir("edge")) / "bundles" / "concepts"


def default_clip() -> Path:
    """Path at which ``edge-export footage`` stores the street clip of ``edge demo``."""
    return Path(platformdirs.user_data_dir("edge")) / "footage" / "street.mp4"


def engine_cache() -> Path:
    """Folder of engines built on this device: ``$EDGE_ENGINE_CACHE``, else one of the user."""
    named = os.environ.get(ENGINES_VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_cache_dir("edge")) / "engines"


def choices() -> Path:
    """Path at which tools record the variant of a bundle that they measured as the fastest."""
    return Path(platformdirs.user_state_dir("edge")) / "choices"
