"""Scripts for those who work on streamledger."""
