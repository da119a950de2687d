"""Where things are when nobody says."""

import os
from pathlib import Path

import platformdirs

BUNDLE_VARIABLE = "EDGE_BUNDLE"
ENGINES_VARIABLE = "EDGE_ENGINE_CACHE"


def default_bundle() -> Path:
    """The bundle of tools that are given none: ``$EDGE_BUNDLE``, else the user's own."""
    named = os.environ.get(BUNDLE_VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_data_dir("edge")) / "bundles" / "concepts"


def default_clip() -> Path:
    """Where ``edge-export footage`` puts the street clip of ``edge demo``."""
    return Path(platformdirs.user_data_dir("edge")) / "footage" / "street.mp4"


def engine_cache() -> Path:
    """Where engines built on this device are kept: ``$EDGE_ENGINE_CACHE``, else the user's own."""
    named = os.environ.get(ENGINES_VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_cache_dir("edge")) / "engines"


def choices() -> Path:
    """Where tools keep which variant of a bundle they measured to be the fastest."""
    return Path(platformdirs.user_state_dir("edge")) / "choices"
