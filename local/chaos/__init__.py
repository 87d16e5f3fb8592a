"""The fault suite behind `make chaos`: thousands of events under every fault, each accounted for."""
