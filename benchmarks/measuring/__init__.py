"""What the benchmarks share, one room per idea.

job.py           which network on which batch, and the flags that say so
architecture.py  the network's layers read off the paper's table, and its multiply-adds
cases.py         single ops, on the shapes that a VGG gives them
timing.py        opponents in turn, round by round; medians, ratios, spread
memory.py        one opponent in a process of its own: peak memory and page faults
machine.py       processor, caches, versions, and the GEMM rate that all figures are a share of
agreement.py     whether two networks compute the same, before anybody is timed
comparison.py    the whole comparison as a record, a line of JSON, and the table that is printed
command.py       arguments, messages and exit codes
"""
