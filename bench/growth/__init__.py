"""How cost grows with threads, processes, sessions, and people who wait: figures, and a plot of each.

`python -m bench.growth` measures all; `python -m bench.growth slow` one of them.
"""
