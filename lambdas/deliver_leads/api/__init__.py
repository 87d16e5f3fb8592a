"""The 7Targets leads API: its calls, its access token, and what its answers mean."""
