"""What happens at 10, 1,000 and 100,000 leads a minute: a simulation, and docs/scale.md made of it."""
