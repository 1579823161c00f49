"""Which exposures exist, what their headers say, and which of their products are stale."""
