"""The embedded default bundle ``concepts``: zero-shot over 80 COCO and 1000 ImageNet concepts.

Built from weights that come inside ordinary packages, without torch and without a model hub. It is
concept-based, not CLIP: what none of the 1080 concepts expresses, it cannot see (README, limits).
"""
