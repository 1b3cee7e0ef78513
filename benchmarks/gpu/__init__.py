"""minivgg on a card against PyTorch with cuDNN: `benchmarks/gpu.sh` runs all of it, `python -m benchmarks.gpu PART` one part.

rows.py       which network, batch and precisions: a part each
race.py       agreement, then peak memory, then opponents in turn by CUDA events
ours.py       minivgg on a card, as a user gets it
pytorch.py    PyTorch with cuDNN's best algorithms, in both memory formats
ceilings.py   what the card itself can do: copying, products in all precisions, launches
algorithms.py every algorithm on every convolution, and where another one than the chosen was faster
by_op.py      the time of each op of our step, by events around it
card.py       the card, its clock, what is installed; without a card the pretend one at miniature sizes (--dry)
page.py       the records as a page of tables
"""
