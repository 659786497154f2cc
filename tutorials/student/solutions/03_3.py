def difference(results, one, other):
    """Difference of two mixers, one less other, and its standard error, in points."""
    first, second = (
        100 * np.array(results["mixers"][name]["test_accuracy"]["runs"])
        for name in (one, other)
    )
    error = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    return first.mean() - second.mean(), error
