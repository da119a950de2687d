"""Bundles as files: facts and graphs go in, a signed directory that the device reads comes out."""
