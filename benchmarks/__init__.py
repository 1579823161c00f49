"""How long stage 1, a header sweep and a whole exposure take, beside the peers where there are some."""
