"""The method: arrays in, arrays out; no files, no simulators, no training."""
