"""What systemd reads on a box: the daemon's unit, its drop-ins, its user."""
