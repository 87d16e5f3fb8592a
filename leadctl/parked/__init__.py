"""Parked messages: read, selected, edited, exported and sent again; `leadctl parked` and others use it."""
