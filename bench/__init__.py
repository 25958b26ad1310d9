"""`make bench`: what the contract promises of speed and memory (section 11), measured in one run.

The site is `serve.py` as an operator starts it, as a process of its own, before a stand-in backend that is
another; beside it an empty JSON view on the same server with the same options. Both, and the load generator
against the bare stand-in, take turns in short rounds, so that a noisy neighbour disturbs all of them alike.
"""
