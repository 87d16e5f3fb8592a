"""From an SQS record to a lead event: what others may import. Stdlib only, but for JMESPath in mappings."""
