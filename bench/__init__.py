"""Measurements of the site. They start `serve.py` as an operator does, and know only its settings and its addresses.

`python -m bench` (`make bench`)      speed, memory and start-up time, beside next-auth
`python -m bench.calls`               functions and files that one e-mail sign-in runs
`python -m bench.revoked_sessions`    what a long list of revoked sessions costs
`python -m bench.soak`                30 minutes of traffic while the backend and Redis fail
"""
