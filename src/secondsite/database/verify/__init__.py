"""Is the copy at the standby really the same? Looks that both sites take, and what follows from them.

Why four looks are a proof, without pausing replay or holding a snapshot open: decision 12 in the project's records.
"""
