inputs = tokens[:, :-1]
targets = tokens[:, 1:]
