"""The command line ``edge-export``: arguments go in, bundles, tables and an exit code come out."""
