"""The deployed stack on this machine: the emulated AWS, its processes, the deployment."""
