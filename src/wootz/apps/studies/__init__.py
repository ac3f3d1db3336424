"""The studies that come with wootz: what one cell of each computes."""
