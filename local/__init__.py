"""The run on this machine: an emulated AWS, the leads API sandbox and the deployed stack."""
