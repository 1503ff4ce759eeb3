"""How a model too large for one chip is laid over many: plan, files, checkpoint cut to fit. No Django."""
