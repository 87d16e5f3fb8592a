"""Programs that run the function in simulated time: see README.md."""
