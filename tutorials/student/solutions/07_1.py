def attention_bytes(mixer, grid, batch, heads):
    """Bytes of the attention matrices of a layer, in float32."""
    rows, columns = grid
    positions = rows * columns
    numbers = {
        "mha": positions**2,
        "axial-mha": positions * (rows + columns),
        "stt": rows**2 + columns**2,
    }[mixer]
    return 4 * batch * heads * numbers
