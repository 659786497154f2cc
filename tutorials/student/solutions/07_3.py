def slope(positions, times):
    """The exponent with which the times grow."""
    return np.polyfit(np.log(positions), np.log(times), 1)[0]
