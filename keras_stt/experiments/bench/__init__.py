"""What `keras-stt bench` is made of: single layers, timed side by side."""
