"""Networks, for one sample or a batch of them."""
