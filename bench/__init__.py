"""Benchmarks of the site. They start `serve.py` as in production and use only its settings and URLs.

`python -m bench` (`make bench`)      throughput, memory and start-up time, compared with next-auth
`python -m bench.calls`               number of functions and files that one email sign-in runs
`python -m bench.revoked_sessions`    cost of a long list of revoked sessions
`python -m bench.soak`                30 minutes of traffic while the backend and Redis fail
"""
