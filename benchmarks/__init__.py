"""Speed of streamledger, as ratios against baselines in the same run; see docs/benchmarks.md."""
