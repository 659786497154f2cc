def heat_map(rows, columns, position):
    """What a position looks at, from the two matrices of STT."""
    row, column = position
    return np.outer(rows[row], columns[column])
