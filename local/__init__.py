"""What runs on a developer's machine, none of which is deployed: see README.md."""
