"""How samples become cosines: one module for each frame class (docs/bundle-format.md)."""
