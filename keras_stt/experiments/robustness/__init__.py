"""How classifiers do on clean, disturbed and attacked images.

Images are disturbed in the unit of the models' input, where pixels are in [0, 1]. What
is random is a function of a seed and of the images' positions, so that every model sees
the same, whatever the batch size and the backend. Every batch has the same shape, the
last one padded: nothing compiles twice.
"""
