"""Distillation: a large model teaches a small one, on pictures of whatever there is."""
