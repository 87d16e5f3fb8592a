"""The run behind `make run`: a few hundred sample events, each accounted for."""
