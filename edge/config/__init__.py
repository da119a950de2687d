"""Configuration: records (``models``) and the file they come from (``load``)."""
