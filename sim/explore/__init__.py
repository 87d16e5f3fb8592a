"""The search for a history that breaks a promise: `python -m sim.explore`."""
