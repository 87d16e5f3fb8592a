"""`make prove`: a stage that is deployed, tried fact by fact, and destroyed, on AWS or on the emulator."""
