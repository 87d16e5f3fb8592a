"""The stacks, the settings of a stage, and the bundle."""
