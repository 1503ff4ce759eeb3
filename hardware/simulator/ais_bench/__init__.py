"""Stand-in for Huawei's ais_bench, for the base image that simulated machines run: no NPU is behind it."""
