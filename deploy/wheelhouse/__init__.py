"""From the dependencies to a folder of wheels for another machine, proven to load there."""
