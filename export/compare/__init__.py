"""``edge-export compare``: two bundles and pictures go in, cost against agreement comes out."""
