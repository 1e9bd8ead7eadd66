"""Benchmarks: Ranvier beside the peers that are installed. Run `python -m bench --help`."""
