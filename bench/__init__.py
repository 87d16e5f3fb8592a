"""What the function costs and how long it takes, beside what it is compared with: `make bench`."""
