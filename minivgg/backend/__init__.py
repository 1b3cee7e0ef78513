"""Everything that knows about array libraries: whose an array is, where it lives, how it lies in memory, and randomness."""
