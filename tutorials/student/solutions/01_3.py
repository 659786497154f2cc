def mha_multiply_adds(side, channels):
    """Self-attention on a flattened grid."""
    positions = side**2
    return 4 * positions * channels**2 + 2 * positions**2 * channels


def stt_multiply_adds(side, channels):
    """STT on a grid, without the synthesis."""
    positions = side**2
    return 2 * positions * channels**2 + positions * channels * 2 * side


smallest_side = 256
