"""The function between the lead queue and the 7Targets leads API; a lead's way starts in `handler.py`."""
