"""The embedded default bundle ``concepts``: zero-shot over 80 COCO and 1000 ImageNet concepts.

Packages of the registries go in; the bundle's folder comes out. The weights come inside ordinary
packages, so the build needs neither torch nor a model hub. The bundle is concept-based, not CLIP:
it cannot see what none of the 1080 concepts expresses (README, limits).
"""
