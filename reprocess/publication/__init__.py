"""What becomes visible, and when: slabs to products, versions, pointers, provenance, and the sum of outcomes."""
