"""Stage 1: from raw ramps to count rates, arrays in and arrays out."""
