"""The benchmarks: `make bench`; docs/performance.md explains the method."""
