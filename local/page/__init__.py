"""The page of a local run: what is where, the story of one lead, and a switch that makes outages.

It only watches: the function's log lines, the sandbox's requests, the ledger and the queues, none of which
it changes by looking. What it changes, a person asked for.
"""
