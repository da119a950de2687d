"""The measurement of ``edge-bench model``: the engine alone, without a camera.

A bundle, engines, precisions and batch sizes go in; times per frame and their ratios come out.
``variants`` opens what is timed, ``measure`` gives each variant its turns, ``results`` has the
records.
"""
