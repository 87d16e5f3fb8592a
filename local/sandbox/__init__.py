"""A stand-in for the 7Targets leads API over HTTP. Imports nothing else of this project."""
