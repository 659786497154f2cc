"""What `keras-stt compare` is made of."""
