"""Which failure raises which alarm, in simulated days: `python -m sim.alarms`."""
