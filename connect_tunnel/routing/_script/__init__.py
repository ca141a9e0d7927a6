"""Running a PAC file: what blocks, and is therefore done in a thread.

Nothing in here is a program. `routing/_pac.py` is the one, and offloads what is here.
"""
