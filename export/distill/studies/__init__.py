"""Distillations that measure the method itself: ``make distill-demo`` and its siblings."""
