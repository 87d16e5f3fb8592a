"""From an SQS record to a lead event: the part of the function that others may import; stdlib only."""
