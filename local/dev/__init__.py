"""The local run for people who develop a producer or the function: fixed ports, no sample events."""
