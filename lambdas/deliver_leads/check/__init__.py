"""The check without a lead: off the delivery path, and imported only when it is asked for."""
