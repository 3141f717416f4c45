"""Benchmarks with their peers side by side: `shoal bench NAME`.

How a bench is written (one file each; `catalogue.BENCHES` names them all):

- `shoal/bench/NAME.py` has `cases(quick: bool) -> Iterator[Case]`. It yields each `Case` as soon as it is measured;
  `quick` asks for a small size and few repeats, to see that everything works.
- Every figure is a ratio within one run. Hand Shoal's side and each peer to `timing.against`, which runs them in turns
  (A B C, A B C, ...) in this process after a warm-up and yields a `Case` for each peer: medians, their ratio (above 1:
  Shoal is quicker) and the smallest and largest ratio of any turn. A side is a function that does its work once and
  returns the seconds: `timing.clocked(work, prepare=...)` makes one of an ordinary function; what takes place in
  another process measures there.
- Both sides do the same work on the same numbers: check, before timing, that their results agree.
- A peer that cannot run here is not left out in silence: `Case.missing(case, peer, reason)`; for a package,
  `timing.not_installed("jax")` is the reason, or "" when it is there. Import peers inside functions.
- A side that is a fixed number (a limit in seconds, the time that a triad's bandwidth allows) is a `Case` made by hand;
  the column `peer` says what it is.
- A missed target is a finding, not a failure: the program ends with 0. What failed while running is an exception.
- Data come from generators keyed by a fixed seed, or from what scikit-learn ships; no bench reads the network.
"""
